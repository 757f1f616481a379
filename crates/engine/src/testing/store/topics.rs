//! Topics in memory.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use streamer_protocol::{Epoch, Timestamp};

use crate::store::{
    Append, AppendId, Appended, ErrorKind, Keep, Message, MessageKey, NewMessage, Placed, Result,
    SourcePosition, TopicHead, TopicKey, TopicUsage,
};

#[derive(Default)]
pub(super) struct StoredTopics(BTreeMap<TopicKey, StoredTopic>);

struct StoredTopic {
    epoch: Epoch,
    last: u64,
    messages: VecDeque<Stored>,
    bytes: u64,
    sources: HashMap<Arc<str>, (u64, u64)>,
    forget_at: Timestamp,
    newest_append: Option<(AppendId, Vec<Placed>)>,
}

struct Stored {
    message: Message,
    expires_at: Timestamp,
    key: Option<MessageKey>,
}

impl StoredTopic {
    fn kept_from(&self) -> u64 {
        self.messages.front().map_or(self.last + 1, |stored| stored.message.offset)
    }

    fn append(&mut self, append: &Append) {
        let placed = append.messages.iter().map(|new| self.place(new, append.keep)).collect();
        self.cut(append.keep);
        self.newest_append = Some((append.id, placed));
    }

    fn place(&mut self, new: &NewMessage, keep: Keep) -> Placed {
        if let Some(source) = &new.source {
            let is_known = self.covers(source) || new.known_at.iter().any(|place| self.covers(place));
            let reached = self.sources.entry(Arc::clone(&source.partition)).or_insert(source.place);
            *reached = source.place.max(*reached);
            if is_known {
                return Placed::Dropped;
            }
        }
        if let Some(again) = self.again(new) {
            return again;
        }
        self.last += 1;
        self.bytes += new.data.as_str().len() as u64;
        let message = Message { offset: self.last, at: new.at, data: new.data.clone() };
        let expires_at = new.at + keep.age_max;
        self.messages.push_back(Stored { message, expires_at, key: new.key.clone() });
        self.forget_at = expires_at + keep.forget_after;
        Placed::New(self.last)
    }

    /// What a message comes to whose key is known.
    fn again(&self, new: &NewMessage) -> Option<Placed> {
        let key = new.key.as_ref()?;
        let Stored { message, .. } = self.messages.iter().find(|stored| stored.key.as_ref() == Some(key))?;
        Some(new.again(message.offset, &message.data))
    }

    /// The answer to an append for which there is no room, if some of it needs none.
    fn when_full(&self, append: &Append) -> Option<Appended> {
        let known: Vec<_> = append.messages.iter().map(|new| self.again(new)).collect();
        known.iter().any(Option::is_some).then(|| Appended {
            epoch: self.epoch.clone(),
            placed: known.into_iter().map(|known| known.unwrap_or(Placed::Full)).collect(),
            kept_from: self.kept_from(),
        })
    }

    fn covers(&self, source: &SourcePosition) -> bool {
        self.sources.get(&source.partition).is_some_and(|before| source.place <= *before)
    }

    fn cut(&mut self, keep: Keep) {
        while self.messages.len() > 1
            && (self.messages.len() as u64 > keep.messages_max || self.bytes > keep.bytes_max)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(Stored { message, .. }) = self.messages.pop_front() {
            self.bytes -= message.data.as_str().len() as u64;
        }
    }
}

impl StoredTopics {
    pub(super) fn append(&mut self, key: &TopicKey, append: &Append) -> Result<Appended> {
        if append.messages.is_empty() {
            return Err(ErrorKind::Invalid.into());
        }
        let repeated = self
            .0
            .get(key)
            .and_then(|topic| topic.newest_append.as_ref())
            .is_some_and(|(id, _)| *id == append.id);
        if !repeated {
            if let Err(full) = self.admit(key, append) {
                return self.0.get(key).and_then(|topic| topic.when_full(append)).ok_or(full);
            }
            let (epoch, last) = append.life.clone();
            let topic = self.0.entry(key.clone()).or_insert_with(|| StoredTopic {
                epoch,
                last,
                messages: VecDeque::new(),
                bytes: 0,
                sources: HashMap::new(),
                forget_at: Timestamp::default(),
                newest_append: None,
            });
            topic.append(append);
        }
        let topic = &self.0[key];
        let placed = topic.newest_append.as_ref().map(|(_, placed)| placed.clone()).unwrap_or_default();
        Ok(Appended { epoch: topic.epoch.clone(), placed, kept_from: topic.kept_from() })
    }

    fn admit(&self, key: &TopicKey, append: &Append) -> Result<()> {
        let of_tenant = || self.0.iter().filter(|(other, _)| other.tenant == key.tenant);
        let quota = append.quota;
        let full = self.usage().bytes >= quota.bytes_max
            || of_tenant().map(|(_, topic)| topic.bytes).sum::<u64>() >= quota.tenant_bytes_max
            || !self.0.contains_key(key) && of_tenant().count() as u64 >= quota.tenant_topics_max;
        if full { Err(ErrorKind::Full.into()) } else { Ok(()) }
    }

    pub(super) fn head(&self, key: &TopicKey) -> Option<TopicHead> {
        let topic = self.0.get(key)?;
        Some(TopicHead { epoch: topic.epoch.clone(), offset: topic.last, kept_from: topic.kept_from() })
    }

    pub(super) fn messages(&self, key: &TopicKey, after: u64, upto: u64, limit: u32) -> Vec<Message> {
        let messages = self.0.get(key).into_iter().flat_map(|topic| &topic.messages);
        let wanted = messages.map(|stored| &stored.message).filter(|m| m.offset > after && m.offset <= upto);
        wanted.take(limit as usize).cloned().collect()
    }

    pub(super) fn purge(&mut self, now: Timestamp, limit: u32) -> u64 {
        let mut removed = 0;
        for topic in self.0.values_mut() {
            while removed < u64::from(limit)
                && topic.messages.front().is_some_and(|oldest| oldest.expires_at <= now)
            {
                topic.drop_oldest();
                removed += 1;
            }
        }
        self.0.retain(|_, topic| {
            let goes = removed < u64::from(limit) && topic.messages.is_empty() && topic.forget_at <= now;
            removed += u64::from(goes);
            !goes
        });
        removed
    }

    pub(super) fn usage(&self) -> TopicUsage {
        TopicUsage { topics: self.0.len() as u64, bytes: self.0.values().map(|topic| topic.bytes).sum() }
    }
}
