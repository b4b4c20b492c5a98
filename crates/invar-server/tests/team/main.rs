//! A server of many projects, asked without a network: who may do what, and what becomes of uploads.

mod access;
mod browser;
mod collector;
mod edge;
mod fixture;
mod forge;
mod forges;
mod instance;
mod issuer;
mod manage;
mod names;
mod openapi;
mod parts;
mod people;
mod publishers;
mod site;
mod uploads;
