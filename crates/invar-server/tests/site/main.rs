//! The site, asked without a network: what each address answers.

mod fixture;
mod flames;
mod histories;
mod hostile;
mod manners;
mod pages;
mod pulls;
