//! The words of a policy.

use crate::types::words;

words! {
    /// Whether a cookie has the attribute `Secure`.
    CookieSecure {
        /// When the client's connection is TLS.
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }

    /// The attribute `SameSite` of a cookie. `None` implies `Secure`.
    CookieSameSite {
        /// Sent with navigation from other sites.
        Lax = "Lax",
        /// Not sent from other sites.
        Strict = "Strict",
        /// Always sent.
        None = "None",
    }

    /// What a status means that is in no list of a health check.
    OtherStatuses {
        /// Nothing.
        Ignore = "ignore",
        /// A success.
        Success = "success",
        /// A failure.
        Failure = "failure",
    }

    /// The method of a probe.
    ProbeMethod {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// OPTIONS.
        Options = "OPTIONS",
        /// POST, without a body.
        Post = "POST",
    }

    /// The version of HTTP that a probe speaks.
    HttpVersion {
        /// HTTP/1.0.
        Http10 = "1.0",
        /// HTTP/1.1.
        Http11 = "1.1",
        /// HTTP/2.
        Http2 = "2",
    }

    /// The health of a target that was never probed.
    Initial {
        /// Healthy.
        Healthy = "healthy",
        /// It gets no request before its first probe, unless no target is healthy.
        Unknown = "unknown",
    }

    /// The methods of the requests that may be sent again once a target may have seen them.
    RetryMethods {
        /// Those that RFC 9110 calls idempotent.
        Idempotent = "idempotent",
        /// All.
        All = "all",
    }

    /// A failure after which a request is sent again.
    RetryOn {
        /// The connection could not be established.
        Connect = "connect",
        /// The connection broke before the target could have seen the whole request.
        ResetBeforeSent = "reset_before_sent",
        /// The connection broke before the header of the response.
        Reset = "reset",
        /// A timeout passed before the header of the response.
        Timeout = "timeout",
    }
}
