//! The tree of settings, in which every place knows where it comes from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    origin::Origin,
    path::{Path, Segment},
};

/// A place in the tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) content: Content,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    String(String),
    /// From a variable or a flag: what it means depends on what is asked for.
    Text(String),
    /// Stands for what was missing or removed, so that reading goes on and finds the other mistakes.
    Placeholder,
}

impl Node {
    pub(super) fn new(origin: Origin, content: Content) -> Self {
        Self { origin, content }
    }

    /// A table in which nothing is set.
    pub(super) fn empty() -> Self {
        Self::new(Origin::Default, Content::Table(BTreeMap::new()))
    }

    /// The built-in defaults, from what they serialize to.
    pub(super) fn of_defaults(value: Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(value),
            Value::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => Content::Integer(whole),
                (None, float) => Content::Float(float.unwrap_or(f64::NAN)),
            },
            Value::String(value) => Content::String(value),
            Value::Array(list) => Content::List(list.into_iter().map(Self::of_defaults).collect()),
            Value::Object(entries) => Content::Table(
                entries.into_iter().map(|(key, value)| (key, Self::of_defaults(value))).collect(),
            ),
        };
        Self::new(Origin::Default, content)
    }

    /// This tree with what the stronger one sets. Tables are joined; anything else is replaced.
    pub(super) fn overlay(self, stronger: Self) -> Self {
        match (self.content, stronger.content) {
            (Content::Table(mut below), Content::Table(above)) => {
                for (key, node) in above {
                    let joined = match below.remove(&key) {
                        Some(weaker) => weaker.overlay(node),
                        None => node,
                    };
                    below.insert(key, joined);
                }
                Self::new(stronger.origin, Content::Table(below))
            }
            (_, content) => Self::new(stronger.origin, content),
        }
    }

    /// A tree in which only this one place is set.
    pub(super) fn at(path: &Path, leaf: Self) -> Self {
        path.segments().iter().rev().fold(leaf, |inner, segment| match segment {
            Segment::Key(key) => {
                let origin = inner.origin.clone();
                Self::new(origin, Content::Table(BTreeMap::from([(key.clone(), inner)])))
            }
            Segment::Index(_) => inner,
        })
    }

    /// What stands at a place, or what holds it: the elements of `a,b` have no place of their own.
    pub(super) fn nearest(&self, path: &[Segment]) -> &Self {
        let Some((first, rest)) = path.split_first() else { return self };
        self.child(first).map_or(self, |child| child.nearest(rest))
    }

    /// Where the value at a place comes from: of the place itself or of the value that holds it.
    pub(super) fn origin_at(&self, path: &[Segment]) -> Origin {
        match (path, &self.content) {
            ([], _) => self.origin.clone(),
            ([first, rest @ ..], Content::Table(_) | Content::List(_)) => {
                self.child(first).map_or(Origin::Default, |child| child.origin_at(rest))
            }
            _ => self.origin.clone(),
        }
    }

    /// Takes out what was given at a place, so that the default shows again. An element of a list has no
    /// default, and the others keep their index: a placeholder stands for it. False if nothing was taken.
    pub(super) fn take_out(&mut self, path: &[Segment]) -> bool {
        match (path, &mut self.content) {
            ([Segment::Key(key)], Content::Table(entries)) => {
                let given = entries.get(key).is_some_and(|node| node.content != Content::Placeholder);
                given && entries.remove(key).is_some()
            }
            ([Segment::Index(index)], Content::List(list)) => match list.get_mut(*index) {
                Some(node) if node.content != Content::Placeholder => {
                    node.content = Content::Placeholder;
                    true
                }
                _ => false,
            },
            ([first, rest @ ..], _) if !rest.is_empty() => {
                self.child_mut(first).is_some_and(|child| child.take_out(rest))
            }
            _ => false,
        }
    }

    /// Lets a placeholder stand for a field that is missing. False if there is no such table, or one stands
    /// there already.
    pub(super) fn fill_in(&mut self, path: &[Segment], field: &str) -> bool {
        match path {
            [first, rest @ ..] => self.child_mut(first).is_some_and(|child| child.fill_in(rest, field)),
            [] => match &mut self.content {
                Content::Table(entries) if !entries.contains_key(field) => {
                    let node = Self::new(self.origin.clone(), Content::Placeholder);
                    entries.insert(field.to_owned(), node);
                    true
                }
                _ => false,
            },
        }
    }

    /// The dotted places of every section and value.
    pub(super) fn places(&self) -> Vec<Path> {
        fn walk(node: &Node, here: &Path, places: &mut Vec<Path>) {
            if let Content::Table(entries) = &node.content {
                for (key, node) in entries {
                    let path = here.key(key);
                    walk(node, &path, places);
                    places.push(path);
                }
            }
        }
        let mut places = Vec::new();
        walk(self, &Path::default(), &mut places);
        places
    }

    fn child(&self, segment: &Segment) -> Option<&Self> {
        match (&self.content, segment) {
            (Content::Table(entries), Segment::Key(key)) => entries.get(key),
            (Content::List(list), Segment::Index(index)) => list.get(*index),
            _ => None,
        }
    }

    fn child_mut(&mut self, segment: &Segment) -> Option<&mut Self> {
        match (&mut self.content, segment) {
            (Content::Table(entries), Segment::Key(key)) => entries.get_mut(key),
            (Content::List(list), Segment::Index(index)) => list.get_mut(*index),
            _ => None,
        }
    }
}
