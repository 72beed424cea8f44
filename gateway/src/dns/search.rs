//! The names that a host may stand for, by the search domains.

use hickory_resolver::proto::rr::Name;

use super::look_up::LookUpError;

/// Domains that are appended to short names, each checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchDomains(Vec<Name>);

/// The search domains, and which names are short.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    pub(super) domains: SearchDomains,
    /// Names with fewer dots are first looked up below the search domains.
    pub(super) ndots: usize,
}

/// The names to look up for a host, the first one first.
#[derive(Debug)]
pub(super) struct Candidates {
    pub(super) names: Vec<Name>,
    /// Whether the first name is the host itself.
    pub(super) is_itself_first: bool,
}

impl SearchDomains {
    /// Checks domains.
    ///
    /// # Errors
    /// The first text that is no domain.
    pub fn parse(texts: &[String]) -> Result<Self, &String> {
        let parse =
            |text| Name::from_str_relaxed(text).ok().map(absolute).filter(|name| !name.is_root()).ok_or(text);
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn of(names: impl IntoIterator<Item = Name>) -> Self {
        Self(names.into_iter().map(absolute).collect())
    }
}

impl Search {
    /// The names to look up for `host`. A trailing dot excludes the search domains.
    pub(super) fn candidates(&self, host: &str) -> Result<Candidates, LookUpError> {
        let name = Name::from_str_relaxed(host).map_err(|error| LookUpError::Failed(error.to_string()))?;
        let itself = absolute(name.clone());
        if name.is_fqdn() {
            return Ok(Candidates { names: vec![itself], is_itself_first: true });
        }
        let is_itself_first = host.matches('.').count() >= self.ndots;
        // A name that would be too long is not looked up.
        let mut names: Vec<_> =
            self.domains.0.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        let at = if is_itself_first { 0 } else { names.len() };
        names.insert(at, itself);
        Ok(Candidates { names, is_itself_first })
    }
}

pub(super) fn absolute(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_looked_up_below_the_domains_first() {
        let domains = SearchDomains::parse(&["a.test".to_owned(), "b.test.".to_owned()]).unwrap();
        let search = Search { domains, ndots: 2 };
        let names = |host: &str| {
            let candidates = search.candidates(host).unwrap().names;
            candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("db"), "db.a.test. db.b.test. db.");
        assert_eq!(names("db.x"), "db.x.a.test. db.x.b.test. db.x.");
        assert_eq!(names("db.x.y"), "db.x.y. db.x.y.a.test. db.x.y.b.test.");
        assert_eq!(names("db."), "db.");
        assert_eq!(names(&format!("{0}.{0}.{0}.{0}", "a".repeat(60))).matches(' ').count(), 2);
        search.candidates(&"a".repeat(64)).unwrap_err();
    }

    #[test]
    fn texts_that_are_no_domains_are_refused() {
        for wrong in ["", ".", "a..b"] {
            assert_eq!(SearchDomains::parse(&[wrong.to_owned()]), Err(&wrong.to_owned()));
        }
    }
}
