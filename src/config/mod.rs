pub mod check;
pub mod document;
pub mod error;
pub mod fields;
pub mod layer;
pub mod request;
pub mod units;
