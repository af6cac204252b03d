//! Model families. Everything outside this module serves any of them.

pub mod vdvae;
