-- What their publishers call messages, to be able to repeat them. A key lasts as long as its message.
ALTER TABLE message ADD COLUMN user TEXT;
ALTER TABLE message ADD COLUMN key TEXT;
CREATE UNIQUE INDEX message_key ON message (topic, user, key) WHERE key IS NOT NULL;

-- Of the newest append, for the case that it is repeated: the messages whose keys were known before, as a JSON array of
-- their place in the append and the offset of that message (0 if it is another); NULL for none.
ALTER TABLE topic ADD COLUMN append_known TEXT;
