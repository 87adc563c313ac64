pub mod dial;
