//! Other paths that an upstream may read in a path, because it decodes a slash or cuts off parameters.

use super::normalize::remove_dots;

/// The other readings of a canonical `path`, each in canonical form; none for nearly every path.
///
/// An upstream may decode encoded slashes, encoded backslashes (as slashes), both or neither: nginx, Apache,
/// IIS and WSGI servers do. It may cut parameters (`;a=1`) off segments, before or after decoding: Tomcat and
/// Jetty do. An upstream that cuts after decoding also cuts at an encoded semicolon. An upstream treats all
/// places of one kind alike.
pub fn other_readings(path: &str) -> Vec<String> {
    let mut readings = Vec::new();
    if !is_ambiguous(path) {
        return readings;
    }
    let mut add = |reading: String| {
        let reading = remove_dots(&reading);
        if reading != path && !readings.contains(&reading) {
            readings.push(reading);
        }
    };
    let (cut_first, decodings) = (cut(path), [&["%2F"][..], &["%5C"], &["%2F", "%5C"]]);
    add(cut_first.clone());
    add(cut(&path.replace("%3B", ";")));
    for encoded in decodings {
        let decoded = decode(path, encoded);
        add(cut(&decoded));
        add(cut(&decoded.replace("%3B", ";")));
        add(decoded);
        add(decode(&cut_first, encoded));
    }
    readings
}

/// Whether the path has a place that can be read in two ways.
fn is_ambiguous(path: &str) -> bool {
    path.contains(';')
        || (path.contains('%') && ["%2F", "%5C", "%3B"].iter().any(|place| path.contains(place)))
}

fn decode(path: &str, encoded: &[&str]) -> String {
    encoded.iter().fold(path.to_owned(), |path, place| path.replace(place, "/"))
}

/// The path without the parameters of its segments.
fn cut(path: &str) -> String {
    let name = |segment: &'_ str| segment.split(';').next().unwrap_or_default().to_owned();
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_have_one_reading() {
        for path in ["/", "/a/b", "/a%20b", "/%C3%BC", "/%25", "/a,b=c&d"] {
            assert_eq!(other_readings(path), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn places_are_decoded_and_cut_in_every_order() {
        for (path, readings) in [
            ("/%2Fadmin/x", &["/admin/x"][..]),
            ("/admin%2Fx", &["/admin/x"]),
            ("/admin%5Cx", &["/admin/x"]),
            ("/admin;a/x", &["/admin/x"]),
            ("/admin%3Ba/x", &["/admin/x"]),
            ("/a%2Fb%5Cc", &["/a/b%5Cc", "/a%2Fb/c", "/a/b/c"]),
            ("/a;b%2Fc", &["/a", "/a/c", "/a;b/c"]),
            ("/x/..%3Ba/admin", &["/admin"]),
            ("/x%2F..%3B/admin", &["/x%2F../admin", "/x/..%3B/admin", "/admin"]),
        ] {
            let found = other_readings(path);
            let (mut found, mut readings) =
                (found.iter().map(String::as_str).collect::<Vec<_>>(), readings.to_vec());
            found.sort_unstable();
            readings.sort_unstable();
            assert_eq!(found, readings, "{path}");
        }
    }
}
