//! How the settings become the parts' own.

use std::net::SocketAddr;

use streamer_engine::{Backoff, BreakerSettings, HistoryRule, TopicSettings, store::Quota};

use super::{Config, rules::parse_network, sections::TopicHistory};

impl Config {
    /// The engine's part.
    pub(crate) fn engine_settings(&self) -> streamer_engine::Settings {
        let (engine, connections) = (&self.engine, &self.connections);
        streamer_engine::Settings {
            short_limit: engine.short_limit_ms.into(),
            attempt_timeout: engine.attempt_timeout_s.into(),
            lease: engine.lease_s.into(),
            running_max: engine.running_max,
            tenant_running_max: engine
                .tenant_running_max
                .unwrap_or(engine.running_max - engine.running_max / 4),
            quota: Quota {
                open_max: engine.queue_depth_max,
                tenant_open_max: engine.tenant_queue_depth_max,
                stored_bytes_max: engine.stored_bytes_max,
                tenant_stored_bytes_max: engine.tenant_stored_bytes_max,
            },
            overloaded_retry_after: engine.overloaded_retry_after_ms.into(),
            retry_backoff: Backoff { base: engine.retry_base_ms.into(), max: engine.retry_max_ms.into() },
            takeovers_max: engine.takeovers_max,
            retention: engine.retention_s.into(),
            purge_interval: engine.purge_interval_s.into(),
            progress_interval: engine.progress_interval_ms.into(),
            chunk_bytes_max: engine.chunk_bytes_max,
            log_bytes_max: engine.log_bytes_max,
            result_bytes_max: engine.result_bytes_max,
            artifact_bytes_max: engine.artifact_bytes_max,
            cancel_grace: engine.cancel_grace_ms.into(),
            connection_in_flight_max: connections.in_flight_max,
            connection_listeners_max: connections.listeners_max,
            listener_buffer_max: connections.held_entries_max,
            topics: self.topic_settings(),
            breaker: BreakerSettings {
                failures_max: connections.breaker_failures_max,
                open_for: connections.breaker_open_ms.into(),
            },
            ..streamer_engine::Settings::default()
        }
    }

    fn topic_settings(&self) -> TopicSettings {
        let topics = &self.topics;
        let rule = |(prefix, history): (&String, &TopicHistory)| HistoryRule {
            prefix: prefix.clone(),
            history: history.kind,
            messages_max: history.messages_max,
            bytes_max: history.bytes_max,
            age_max: history.age_s.into(),
        };
        TopicSettings {
            histories: topics.histories.iter().map(rule).collect(),
            server_only: topics.server_only_prefixes.clone(),
            subscriptions_max: self.connections.subscriptions_max,
            tenant_topics_max: topics.tenant_topics_max,
            topics_max: topics.topics_max,
            // Nobody can send a larger one.
            message_bytes_max: topics.message_bytes_max.min(self.connections.message_bytes_max),
            tenant_memory_bytes_max: topics.tenant_memory_bytes_max,
            memory_bytes_max: topics.memory_bytes_max,
            tenant_stored_bytes_max: topics.tenant_stored_bytes_max,
            stored_bytes_max: topics.stored_bytes_max,
            publish_depth_max: topics.publish_depth_max,
            present_users_max: topics.present_users_max,
            idle: topics.idle_s.into(),
            forget_after: topics.forget_after_s.into(),
        }
    }

    /// The server's part. `endpoint` is where it listens.
    pub(crate) fn server_settings(&self, endpoint: SocketAddr) -> streamer_server::Settings {
        let (listen, connections) = (&self.listen, &self.connections);
        streamer_server::Settings {
            endpoint: listen.endpoint.clone().unwrap_or_else(|| endpoint.to_string()),
            path_prefixes: listen.path_prefixes.clone(),
            trusted_proxies: listen.trusted_proxies.iter().filter_map(|text| parse_network(text)).collect(),
            address_connections_per_minute: listen.address_connections_per_minute,
            address_refusals_per_minute: listen.address_refusals_per_minute,
            addresses_max: listen.addresses_max,
            connections_max: connections.connections_max,
            tenant_connections_max: connections.tenant_connections_max,
            messages_per_minute: connections.messages_per_minute,
            message_timeout: connections.message_timeout_s.into(),
            message_bytes_max: connections.message_bytes_max,
            outbound_bytes_max: connections.outbound_bytes_max,
            outbound_messages_max: connections.outbound_messages_max,
            stall_timeout: connections.stall_timeout_s.into(),
            heartbeat: connections.heartbeat_s.into(),
            token_grace: self.auth.token_grace_s.into(),
            head_timeout: listen.head_timeout_s.into(),
            sockets_max: listen.sockets_max,
            tls_handshake_timeout: listen.tls_handshake_timeout_s.into(),
            tls_handshakes_max: listen.tls_handshakes_max,
            drain_spread: self.drain.spread_ms.into(),
            http: streamer_server::HttpSettings {
                wait_max: self.http.wait_max_s.into(),
                body_timeout: self.http.body_timeout_s.into(),
                user_calls_max: self.http.user_calls_max,
                user_streams_max: self.http.user_streams_max,
                events_heartbeat: self.http.events_heartbeat_s.into(),
                allowed_origins: self.http.allowed_origins.clone(),
                allow_credentials: self.http.allow_credentials,
            },
            ..streamer_server::Settings::default()
        }
    }
}
