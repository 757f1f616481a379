//! Events that an application might write: people sign up, plan activities, change them, join each other's.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde_json::{Value, json};
use streamer_events::Moment;
use uuid::Uuid;

use super::names::{ACTIVITIES, CITIES, FIRST, INTERESTS, LAST, MAIL_HOSTS, STREETS};

/// A row for the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The event's id.
    pub id: Uuid,
    /// What it is about.
    pub aggregate_id: Uuid,
    /// Of which kind that is: `User` or `Activity`.
    pub aggregate_type: &'static str,
    /// What happened.
    pub event_type: &'static str,
    /// What is told.
    pub payload: Value,
    /// Who or what it is about, for a person who reads along.
    pub subject: String,
}

/// How payloads are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `first_name`, `creator_user_id`, `location_name`…
    Flat,
    /// `profile {…}`, `location {…}`, `updates {…}` with dotted paths.
    Nested,
    /// Each event in one of the two, by lot.
    Both,
}

/// An endless row of events. The same seed and shape give the same events, on every machine.
///
/// Whoever is referred to was made before, by the same generator. It remembers a bounded number of people and
/// activities, the later ones likelier, and so can go on for ever.
pub struct Generator {
    random: ChaCha8Rng,
    shape: Shape,
    people: Vec<Person>,
    activities: Vec<Activity>,
    made: u64,
}

struct Person {
    id: Uuid,
    username: String,
    name: String,
}

struct Activity {
    id: Uuid,
    title: &'static str,
    places: usize,
    joined: Vec<Uuid>,
}

/// So many people and activities are remembered.
const REMEMBERED_MAX: usize = 5000;

/// When the first of the planned activities may be: 2027-01-01T00:00:00Z, in seconds. Not the clock's time, which
/// no seed gives again.
const FIRST_DAY_S: i64 = 1_798_761_600;

impl Generator {
    /// Begins with nobody.
    #[must_use]
    pub fn new(seed: u64, shape: Shape) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { random, shape, people: Vec::new(), activities: Vec::new(), made: 0 }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid()
    }

    fn is_nested(&mut self) -> bool {
        match self.shape {
            Shape::Flat => false,
            Shape::Nested => true,
            Shape::Both => self.random.random_bool(0.5),
        }
    }

    /// One that is remembered.
    fn person(&mut self) -> Option<usize> {
        (!self.people.is_empty()).then(|| self.random.random_range(0..self.people.len()))
    }

    fn bio(&mut self) -> String {
        let (one, other) = (self.pick(INTERESTS), self.pick(INTERESTS));
        format!("Likes {one} and {other}.")
    }

    fn signs_up(&mut self) -> NewEvent {
        let (first, last) = (self.pick(FIRST), self.pick(LAST));
        let number = self.made;
        let username = format!("{}_{}_{number}", plain(first), plain(last));
        let email = format!("{}.{}.{number}@{}", plain(first), plain(last), self.pick(MAIL_HOSTS));
        let (city, ..) = self.pick(CITIES);
        let address = format!("{} {}", self.random.random_range(1..200), self.pick(STREETS));
        let bio = self.bio();
        let avatar = format!("https://images.example/{}.jpg", plain(&username));
        let id = self.id();
        let payload = if self.is_nested() {
            json!({
                "user_id": id, "email": email, "username": username, "name": format!("{first} {last}"),
                "first_name": first, "last_name": last,
                "profile": { "bio": bio, "avatar_url": avatar, "address": { "street": address, "city": city } },
                "allowed_users": [id],
            })
        } else {
            json!({
                "user_id": id, "email": email, "username": username, "first_name": first, "last_name": last,
                "bio": bio, "avatar_url": avatar, "address": address, "city": city,
            })
        };
        let person = Person { id, username: username.clone(), name: format!("{first} {last}") };
        remember(&mut self.people, person, &mut self.random);
        self.event("User", "UserCreated", id, payload, username)
    }

    fn changes_profile(&mut self, at: usize) -> NewEvent {
        let bio = self.bio();
        let Person { id, username, .. } = &self.people[at];
        let (id, username) = (*id, username.clone());
        let avatar = format!("https://images.example/{}-{}.jpg", plain(&username), self.made);
        let payload = if self.is_nested() {
            json!({ "updates": { "profile.bio": bio, "profile.avatar_url": avatar } })
        } else {
            json!({ "bio": bio, "avatar_url": avatar })
        };
        self.event("User", "UserUpdated", id, payload, username)
    }

    fn plans(&mut self, creator: usize) -> NewEvent {
        let (kind, title, place) = self.pick(ACTIVITIES);
        let (city, latitude, longitude, zone) = self.pick(CITIES);
        let address = format!("{} {}", self.random.random_range(1..200), self.pick(STREETS));
        let (north, east): (f64, f64) =
            (self.random.random_range(-0.05..0.05), self.random.random_range(-0.05..0.05));
        // Six digits are a hand's breadth.
        let near = |degrees: f64, by: f64| ((degrees + by) * 1e6).round() / 1e6;
        let (latitude, longitude) = (near(latitude, north), near(longitude, east));
        let day = FIRST_DAY_S + 86_400 * self.random.random_range(0..365);
        let start = moment(day + 1800 * self.random.random_range(16..42));
        let minutes = 30 * self.random.random_range(2..9);
        let places = self.random.random_range(4..40_usize);
        let creator_id = self.people[creator].id;
        let description = format!("{title} at {place} in {city}, for up to {places} people.");
        let id = self.id();
        let payload = if self.is_nested() {
            json!({
                "activity_id": id, "title": title, "description": description, "creator_id": creator_id, "type": kind,
                "location": {
                    "name": place, "address": address, "city": city,
                    "latitude": latitude, "longitude": longitude,
                },
                "schedule": { "start_time": start, "duration_minutes": minutes, "timezone": zone },
                "participants": { "max_count": places, "list": [] },
                "status": "active",
            })
        } else {
            json!({
                "activity_id": id, "title": title, "description": description, "creator_user_id": creator_id,
                "activity_type": kind, "location_name": place, "location_address": address, "location_city": city,
                "location_latitude": latitude, "location_longitude": longitude, "start_time": start,
                "duration_minutes": minutes, "timezone": zone, "max_participants": places,
            })
        };
        let activity = Activity { id, title, places, joined: Vec::new() };
        remember(&mut self.activities, activity, &mut self.random);
        self.event("Activity", "ActivityCreated", id, payload, title.to_owned())
    }

    fn changes_plan(&mut self, at: usize) -> NewEvent {
        let Activity { id, title, .. } = self.activities[at];
        let (_, _, place) = self.pick(ACTIVITIES);
        let status = self.pick(&["active", "confirmed", "full"]);
        let description = format!("{title}, now at {place}.");
        let payload = if self.is_nested() {
            json!({ "updates": { "location.name": place, "description": description, "status": status } })
        } else {
            json!({ "location_name": place, "description": description, "status": status })
        };
        self.event("Activity", "ActivityUpdated", id, payload, title.to_owned())
    }

    /// None if it was full, or they take part already.
    fn joins(&mut self, who: usize, at: usize) -> Option<NewEvent> {
        let Person { id: user, name, .. } = &self.people[who];
        let (user, name) = (*user, name.clone());
        let activity = &mut self.activities[at];
        if activity.joined.len() >= activity.places || activity.joined.contains(&user) {
            return None;
        }
        activity.joined.push(user);
        let (id, title) = (activity.id, activity.title);
        let payload = if self.is_nested() {
            json!({ "activity_id": id, "participant": { "user_id": user, "user_name": name, "status": "joined" } })
        } else {
            json!({ "activity_id": id, "user_id": user, "user_name": name, "status": "joined" })
        };
        Some(self.event("Activity", "ParticipantJoined", id, payload, format!("{name} → {title}")))
    }

    fn event(
        &mut self,
        aggregate_type: &'static str,
        event_type: &'static str,
        aggregate_id: Uuid,
        payload: Value,
        subject: String,
    ) -> NewEvent {
        self.made += 1;
        NewEvent { id: self.id(), aggregate_id, aggregate_type, event_type, payload, subject }
    }
}

impl Iterator for Generator {
    type Item = NewEvent;

    fn next(&mut self) -> Option<NewEvent> {
        let lot = self.random.random_range(0..100);
        let who = self.person();
        let at = (!self.activities.is_empty()).then(|| self.random.random_range(0..self.activities.len()));
        let event = match (lot, who, at) {
            (42..65, Some(who), _) => Some(self.plans(who)),
            (65..84, Some(who), Some(at)) => self.joins(who, at),
            (84..92, Some(who), _) => Some(self.changes_profile(who)),
            (92.., _, Some(at)) => Some(self.changes_plan(at)),
            // The first of them, so that a handful of events has one of everything.
            (84.., Some(who), None) => Some(self.plans(who)),
            _ => None,
        };
        Some(event.unwrap_or_else(|| self.signs_up()))
    }
}

fn remember<T>(known: &mut Vec<T>, new: T, random: &mut ChaCha8Rng) {
    if known.len() < REMEMBERED_MAX {
        known.push(new);
    } else {
        let forgotten = random.random_range(0..known.len());
        known[forgotten] = new;
    }
}

fn moment(seconds: i64) -> String {
    Moment::from_millis(seconds * 1000).to_string()
}

/// A name as addresses have it: lower case, letters and digits alone.
fn plain(name: &str) -> String {
    let letters = name.chars().flat_map(char::to_lowercase).map(|letter| match letter {
        'á' | 'ã' | 'â' | 'à' | 'ä' => 'a',
        'é' | 'ë' | 'è' | 'ê' => 'e',
        'í' | 'ı' | 'ï' => 'i',
        'ó' | 'ö' | 'ø' | 'õ' => 'o',
        'ú' | 'ü' => 'u',
        other => other,
    });
    letters.filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use streamer_events::{Event, EventId, Partition, Payload, Position, projections};

    use super::*;

    fn as_read(number: u64, event: &NewEvent) -> Event {
        let partition: Partition = "p".parse().expect("is one");
        Event {
            id: EventId::new(event.id.to_string()),
            event_type: event.event_type.into(),
            aggregate_id: event.aggregate_id.to_string().into(),
            aggregate_type: event.aggregate_type.into(),
            payload: Payload::new(event.payload.to_string()),
            created_at: Moment::from_millis(1),
            committed_at: None,
            passed: streamer_events::change::Passed::default(),
            position: Position { partition, offset: streamer_events::Offset::at(number) },
        }
    }

    #[test]
    fn a_seed_gives_the_same_events_again_and_another_gives_others() {
        let of = |seed| Generator::new(seed, Shape::Both).take(500).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        let ids = |seed| of(seed).into_iter().map(|event| event.id).collect::<HashSet<_>>();
        assert_eq!(ids(7).len(), 500);
        assert!(ids(7).is_disjoint(&ids(8)));
    }

    #[test]
    fn every_handler_that_ships_takes_them_in_both_shapes() {
        let registry = projections::registry();
        for shape in [Shape::Flat, Shape::Nested, Shape::Both] {
            let mut types: BTreeMap<&str, u32> = BTreeMap::new();
            for (number, event) in (0..).zip(Generator::new(1, shape).take(2000)) {
                let projected = registry.project(&as_read(number, &event));
                assert!(projected.rejected.is_empty(), "{:?} of {}", projected.rejected, event.payload);
                assert!(!projected.writes.is_empty());
                *types.entry(event.event_type).or_default() += 1;
            }
            assert_eq!(types.keys().copied().collect::<Vec<_>>(), registry.event_types(), "{shape:?}");
            assert!(types.values().all(|count| *count > 100), "{types:?}");
        }
    }

    #[test]
    fn the_shapes_differ_in_their_payloads() {
        let nested = |event: &NewEvent| {
            ["profile", "updates", "location", "participant"]
                .iter()
                .any(|name| event.payload.get(name).is_some())
        };
        assert!(Generator::new(1, Shape::Nested).take(200).all(|event| nested(&event)));
        assert!(!Generator::new(1, Shape::Flat).take(200).any(|event| nested(&event)));
        let both = Generator::new(1, Shape::Both).take(200).filter(nested).count();
        assert!((50..150).contains(&both), "{both}");
    }

    #[test]
    fn whoever_is_referred_to_was_made_before_and_joins_once() {
        let (mut people, mut activities) = (HashSet::new(), HashMap::new());
        let mut mails = HashSet::new();
        for event in Generator::new(3, Shape::Both).take(20_000) {
            let id = |name: &str| event.payload[name].as_str().and_then(|text| text.parse::<Uuid>().ok());
            match event.event_type {
                "UserCreated" => {
                    assert!(people.insert(event.aggregate_id));
                    assert!(mails.insert(event.payload["email"].to_string()), "{}", event.payload);
                }
                "UserUpdated" => assert!(people.contains(&event.aggregate_id)),
                "ActivityCreated" => {
                    let creator = id("creator_id").or(id("creator_user_id")).expect("has one");
                    assert!(people.contains(&creator));
                    let places = &event.payload["max_participants"];
                    let places = places.as_u64().or(event.payload["participants"]["max_count"].as_u64());
                    activities.insert(event.aggregate_id, (places.expect("has some"), HashSet::new()));
                }
                "ActivityUpdated" => assert!(activities.contains_key(&event.aggregate_id)),
                "ParticipantJoined" => {
                    let nested = event.payload["participant"]["user_id"].as_str();
                    let user = nested.and_then(|text| text.parse().ok()).or(id("user_id")).expect("has one");
                    let (places, joined) = activities.get_mut(&event.aggregate_id).expect("was planned");
                    assert!(people.contains(&user) && joined.insert(user));
                    assert!(joined.len() as u64 <= *places);
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut generator = Generator::new(1, Shape::Flat);
        assert_eq!(generator.by_ref().take(40_000).count(), 40_000);
        assert_eq!(generator.people.len(), REMEMBERED_MAX);
        assert_eq!(generator.activities.len(), REMEMBERED_MAX);
    }

    #[test]
    fn names_become_plain() {
        assert_eq!(plain("O'Brien"), "obrien");
        assert_eq!(plain("Zoë Yılmaz"), "zoeyilmaz");
    }
}
