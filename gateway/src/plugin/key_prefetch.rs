//! Prefetches the API key that a request shows, while its route is looked up. Page, key and consumer are three places in
//! memory, each of which is read in the one before, and in no cache if there are many.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::directory::Directory;
use super::instance::Instance;

/// The address of the API key that a request shows. Its plugin decides later whether the key counts.
#[derive(Clone, Copy, Debug)]
pub struct KeyPrefetch {
    address: u32,
}

/// The headers in which the plugins of a configuration look for API keys first.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHeaders {
    /// Each with the number of instances, the greatest first.
    all: Vec<(HeaderName, usize)>,
}

impl KeyPrefetch {
    /// That of the key that a header shows. Begins to fetch its page.
    pub(super) fn of(shown: &HeaderValue, directory: &Directory) -> Option<Self> {
        let address = directory.hasher.as_ref()?.quick(shown.as_bytes()).address;
        directory.key_auths.prefetch_page(address);
        Some(Self { address })
    }

    /// Begins to fetch the key, once its page is there.
    pub fn key(self, directory: &Directory) {
        directory.key_auths.prefetch_key(self.address);
    }

    /// Begins to fetch the consumer, once the key is there.
    pub fn consumer(self, directory: &Directory) {
        directory.key_auths.prefetch_consumer(self.address);
    }
}

impl KeyHeaders {
    /// Adds that of an instance.
    pub(super) fn add(&mut self, instance: &Instance) {
        let Some(name) = header_of(instance) else { return };
        match self.all.iter_mut().find(|(other, _)| other == name) {
            Some((_, count)) => *count += 1,
            None => self.all.push((name.clone(), 1)),
        }
        self.all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }

    /// Removes that of an instance.
    pub(super) fn remove(&mut self, instance: &Instance) {
        let Some(name) = header_of(instance) else { return };
        for (_, count) in self.all.iter_mut().filter(|(other, _)| other == name) {
            *count -= 1;
        }
        self.all.retain(|(_, count)| *count > 0);
        self.all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }

    /// The value of the one in which most instances look.
    pub(super) fn value<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        headers.get(&self.all.first()?.0)
    }
}

fn header_of(instance: &Instance) -> Option<&HeaderName> {
    instance.behaviour().key_header().filter(|_| instance.enabled)
}

#[cfg(test)]
mod tests {
    use model::plugins::{Config, KeyAuth};
    use uuid::Uuid;

    use super::*;
    use crate::section::{References, Section};

    fn instance(name: &str, in_header: bool) -> Instance {
        let config =
            KeyAuth { key_names: vec![name.to_owned()], key_in_header: in_header, ..KeyAuth::default() };
        let config = Config::KeyAuth(Box::new(config));
        let plugin = model::Plugin { id: Uuid::new_v4(), config, ..model::Plugin::default() };
        Instance::compile(&plugin, References::NONE).unwrap()
    }

    #[test]
    fn header_in_which_most_plugins_look() {
        let all = [("apikey", true), ("x-key", true), ("x-key", true), ("elsewhere", false)];
        let instances = all.map(|(name, in_header)| instance(name, in_header));
        let headers = all.map(|(name, _)| (HeaderName::from_static(name), HeaderValue::from_static(name)));
        let headers = HeaderMap::from_iter(headers);
        let mut names = KeyHeaders::default();
        let mut seen = vec![];
        let mut look = |names: &KeyHeaders| seen.push(names.value(&headers).cloned());
        look(&names);
        for one in &instances {
            names.add(one);
            look(&names);
        }
        for one in instances.iter().rev() {
            names.remove(one);
            look(&names);
        }
        let expected = ["", "apikey", "apikey", "x-key", "x-key", "x-key", "x-key", "apikey", ""];
        let expected = expected.map(|name| (!name.is_empty()).then(|| HeaderValue::from_static(name)));
        assert_eq!(seen, expected);
    }
}
