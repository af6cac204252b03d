//! Every source, and every kind of bad input, on files made for the purpose.

mod amat;
mod archives;
mod arrays;
mod batches;
mod celeba;
mod cifar;
mod classes;
mod crops;
mod files;
mod folders;
mod formats;
mod idx;
mod imagenet_batches;
mod shards;
mod splits;
mod statistics;
