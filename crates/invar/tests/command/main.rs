//! The command as a user runs it: real processes, real repositories, a real store. Only the measuring is make-believe.

mod compare;
mod damage;
mod exchange;
mod flame;
mod run;
mod sandbox;
mod serve;
mod verify;
