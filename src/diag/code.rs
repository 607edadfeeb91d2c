//! Every kind of mistake, once.
