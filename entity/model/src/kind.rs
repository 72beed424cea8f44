//! The list of kinds: the number, the collection and the struct of each. The file of a kind is below
//! [`crate::kinds`].

use wire::Kind;

/// Calls a macro with every kind, in the order of the numbers.
macro_rules! with_every_kind {
    ($then:ident) => {
        $then! {
            /// Services.
            SERVICE = 1, "services": service::Service;
            /// Routes.
            ROUTE = 2, "routes": route::Route;
            /// Certificates.
            CERTIFICATE = 3, "certificates": certificate::Certificate;
            /// Server names.
            SNI = 4, "snis": sni::Sni;
            /// CA certificates.
            CA_CERTIFICATE = 5, "ca_certificates": ca_certificate::CaCertificate;
            /// The settings of the router; at most one.
            ROUTER = 6, "routers": router::Router;
            /// Upstreams.
            UPSTREAM = 7, "upstreams": upstream::Upstream;
            /// Targets of upstreams.
            TARGET = 8, "targets": target::Target;
            /// The states that operators have set for targets.
            TARGET_STATE = 9, "target_states": target_state::TargetState;
            /// The health that operators have set for targets.
            TARGET_HEALTH = 10, "target_health": target_health::TargetHealth;
            /// Consumers.
            CONSUMER = 11, "consumers": consumer::Consumer;
            /// API keys of consumers.
            KEYAUTH_CREDENTIAL = 12, "keyauth_credentials": keyauth_credential::KeyAuthCredential;
            /// User names and passwords of consumers.
            BASICAUTH_CREDENTIAL = 13, "basicauth_credentials": basicauth_credential::BasicAuthCredential;
            /// Keys by which the JSON web tokens of consumers are verified.
            JWT_SECRET = 14, "jwt_secrets": jwt_secret::JwtSecret;
            /// User names and secrets by which the signatures of consumers are verified.
            HMACAUTH_CREDENTIAL = 15, "hmacauth_credentials": hmacauth_credential::HmacAuthCredential;
            /// Groups of consumers.
            ACL = 16, "acls": acl::Acl;
            /// Plugins.
            PLUGIN = 17, "plugins": plugin::Plugin;
            /// The key of the hashes of API keys; at most one.
            HASH_KEY = 18, "hash_keys": hash_key::HashKey;
            /// The orders of operators to remove answers that are kept.
            CACHE_PURGE = 128, "cache_purges": cache_purge::CachePurge;
        }
    };
}
pub(crate) use with_every_kind;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $collection:literal: $module:ident::$entity:ident;)*) => {
        $($(#[$doc])*
        pub const $name: Kind = Kind($number);)*

        /// The name of a kind's collection; `None` for a kind that this version does not know.
        pub fn known_collection(kind: Kind) -> Option<&'static str> {
            match kind {
                $($name => Some($collection),)*
                _ => None,
            }
        }
    };
}

with_every_kind!(numbers);

/// The name of a kind's collection, as an operator knows it.
pub fn collection(kind: Kind) -> String {
    known_collection(kind).map_or_else(|| format!("kind {}", kind.0), str::to_owned)
}

/// Whether a data plane that does not know the kind must not serve a configuration with it: its number is
/// below 128. A number is a byte on the wire, in the database and on disk: it never changes and is never
/// reused.
pub const fn must_understand(kind: Kind) -> bool {
    kind.must_be_understood()
}
