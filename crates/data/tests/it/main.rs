//! Every source, and every kind of bad input, on files made for the purpose.

mod amat;
mod archives;
mod arrays;
mod batches;
mod celeba;
mod cifar10;
mod crops;
mod files;
mod folders;
mod formats;
mod idx;
mod splits;
mod statistics;
