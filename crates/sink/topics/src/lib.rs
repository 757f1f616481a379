//! Events on their way to live topics: each to the topic that a template names, in the tenant that is fixed or that its
//! payload tells.
//!
//! Every message carries its event's position, and a topic drops what is at or below the position that it has reached: a
//! batch that comes again doubles nothing. A durable topic remembers positions for as long as it is remembered itself, any
//! other for as long as it lives in its process. Who may subscribe is for the tokens to say, as for any topic.

mod message;
mod sink;
mod template;
mod tenant;

pub use message::Message;
pub use sink::{HANDLER, Settings, TopicSink};
pub use template::{InvalidTemplate, Template};
pub use tenant::Tenant;
