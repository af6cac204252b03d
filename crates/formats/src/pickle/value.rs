//! What a pickle can hold, and how to look at it.

use std::borrow::Cow;

use super::Pickle;

/// Index of a node.
pub(super) type Id = usize;

/// A value, referring to others by their index.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// A byte string, a bytearray, or a string as Python 2 wrote it.
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    /// A list, or the elements of a set.
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Module and name of something in Python.
    Global(String, String),
    Call(Box<CallNode>),
    /// A reference to something outside of the pickle, in a form that its writer chose.
    Persistent(Id),
}

/// A call that Python would make, and what it would do with the result.
#[derive(Debug)]
pub(super) struct CallNode {
    pub callee: Id,
    pub arguments: Id,
    pub state: Option<Id>,
    pub items: Vec<(Id, Id)>,
}

/// A value in a pickle.
#[derive(Clone, Copy, Debug)]
pub struct Value<'p> {
    pub(super) pickle: &'p Pickle<'p>,
    pub(super) index: Id,
}

/// A call that Python would make to rebuild an object. It is data: nothing is called.
#[derive(Clone, Debug)]
pub struct Call<'p> {
    /// Module of what would be called.
    pub module: &'p str,
    /// Its name there.
    pub name: &'p str,
    /// The arguments.
    pub arguments: Vec<Value<'p>>,
    /// What would be handed to the object's `__setstate__`.
    pub state: Option<Value<'p>>,
    /// Entries that would be stored in the object, as in an `OrderedDict`.
    pub entries: Vec<(Value<'p>, Value<'p>)>,
}

impl<'p> Value<'p> {
    fn node(self) -> &'p Node<'p> {
        &self.pickle.nodes[self.index]
    }

    fn at(self, index: Id) -> Self {
        Self { index, ..self }
    }

    /// A few words for messages: "an integer", "a call of `numpy.dtype`".
    pub fn describe(self) -> String {
        let name = match self.node() {
            Node::None => "None",
            Node::Bool(_) => "a truth value",
            Node::Int(_) => "an integer",
            Node::Float(_) => "a float",
            Node::Bytes(_) => "bytes",
            Node::Text(_) => "a string",
            Node::List(_) => "a list",
            Node::Tuple(_) => "a tuple",
            Node::Dict(_) => "a dictionary",
            Node::Global(module, name) => return format!("the name `{module}.{name}`"),
            Node::Call(_) => {
                return self
                    .as_call()
                    .map_or("a call".to_owned(), |call| call.describe());
            }
            Node::Persistent(_) => "a reference to other data",
        };
        name.to_owned()
    }

    /// Whether the value is None.
    pub fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    /// A truth value.
    pub fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// An integer; truth values count as 0 and 1, as in Python.
    pub fn as_int(self) -> Option<i128> {
        match self.node() {
            Node::Int(value) => Some(*value),
            Node::Bool(truth) => Some(i128::from(*truth)),
            _ => None,
        }
    }

    /// A float.
    pub fn as_float(self) -> Option<f64> {
        match self.node() {
            Node::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A string; one that Python 2 wrote counts if it is UTF-8.
    pub fn as_str(self) -> Option<&'p str> {
        match self.node() {
            Node::Text(text) => Some(text),
            Node::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A byte string, also in the roundabout form in which Python 3 writes it for Python 2:
    /// `_codecs.encode(string, "latin1")`.
    pub fn as_bytes(self) -> Option<Cow<'p, [u8]>> {
        if let Node::Bytes(bytes) = self.node() {
            return Some(Cow::Borrowed(bytes));
        }
        let call = self.as_call()?;
        let [text, encoding] = call.arguments[..] else {
            return None;
        };
        let is_latin1 = matches!(encoding.as_str(), Some("latin1" | "latin-1"));
        if (call.module, call.name) != ("_codecs", "encode") || !is_latin1 {
            return None;
        }
        let latin1 = |letter: char| u8::try_from(letter).ok();
        text.as_str()?
            .chars()
            .map(latin1)
            .collect::<Option<Vec<u8>>>()
            .map(Cow::Owned)
    }

    /// The elements of a list, set or tuple.
    pub fn elements(self) -> Option<Vec<Value<'p>>> {
        match self.node() {
            Node::List(ids) | Node::Tuple(ids) => Some(ids.iter().map(|&id| self.at(id)).collect()),
            _ => None,
        }
    }

    /// The keys and values of a dictionary, in their order.
    pub fn entries(self) -> Option<Vec<(Value<'p>, Value<'p>)>> {
        match self.node() {
            Node::Dict(entries) => Some(self.pairs(entries)),
            _ => None,
        }
    }

    /// The value of a dictionary for `key`, a string or a byte string.
    pub fn get(self, key: &str) -> Option<Value<'p>> {
        let is_key = |value: Value<'_>| {
            value.as_str() == Some(key)
                || value
                    .as_bytes()
                    .is_some_and(|bytes| *bytes == *key.as_bytes())
        };
        // The last one counts where a key occurs twice, as in Python.
        let mut entries = self.entries()?.into_iter().rev();
        entries
            .find(|(name, _)| is_key(*name))
            .map(|(_, value)| value)
    }

    /// Module and name of something in Python.
    pub fn as_global(self) -> Option<(&'p str, &'p str)> {
        match self.node() {
            Node::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }

    /// An object that Python would rebuild by a call.
    pub fn as_call(self) -> Option<Call<'p>> {
        let Node::Call(call) = self.node() else {
            return None;
        };
        let (module, name) = self.at(call.callee).as_global()?;
        Some(Call {
            module,
            name,
            arguments: self.at(call.arguments).elements()?,
            state: call.state.map(|id| self.at(id)),
            entries: self.pairs(&call.items),
        })
    }

    /// The name of something outside of the pickle.
    pub fn as_persistent(self) -> Option<Value<'p>> {
        match self.node() {
            Node::Persistent(id) => Some(self.at(*id)),
            _ => None,
        }
    }

    fn pairs(self, ids: &[(Id, Id)]) -> Vec<(Value<'p>, Value<'p>)> {
        ids.iter()
            .map(|&(key, value)| (self.at(key), self.at(value)))
            .collect()
    }
}

impl Call<'_> {
    /// A few words for messages.
    pub fn describe(&self) -> String {
        format!("a call of `{}.{}`", self.module, self.name)
    }
}
