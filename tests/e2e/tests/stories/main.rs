//! The stories that the stack is for, told with real processes.

mod alert;
mod durability;
