//! Reads an upstream's entity into the terms of a group.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Version};
use model::Algorithm;
use model::healthchecks::{ActiveChecks, CheckType, Healthchecks};
use model::policy::{self, CookieSameSite, CookieSecure, HttpVersion, Policy, ProbeMethod, RetryOn};

use crate::dns::{DnsTerms, Families};
use crate::upstream::balancer::{self, Settings, Thresholds};
use crate::upstream::{Affinity, CookieTerms, GroupTerms, HashInput, Probing, Retry, Speaks};

/// A field that the data plane cannot use, and why.
type Unusable = (&'static str, &'static str);

/// How the name of the cookie of sticky sessions begins, unless the upstream gives one. A part of the upstream's id
/// follows: one client may have sessions with several upstreams.
const STICKY_COOKIE: &str = "gibbon-session-";

/// The terms of an upstream, which are still to be linked.
pub(super) fn of(upstream: &model::Upstream) -> Result<GroupTerms, Unusable> {
    let name: Arc<str> = upstream.name.to_ascii_lowercase().into();
    let Policy { retry, dns, .. } = &*upstream.policy;
    Ok(GroupTerms {
        id: upstream.id,
        balancing: settings(upstream, name.clone()),
        name,
        affinity: Affinity {
            on: input(upstream.hash_on, upstream.hash_on_name())?,
            fallback: input(upstream.hash_fallback, upstream.hash_fallback_name())?,
        },
        cookie: cookie(upstream),
        host_header: upstream.host_header.as_deref().map(Into::into),
        use_srv_name: upstream.use_srv_name,
        probing: probing(upstream)?,
        retry: Retry {
            on_connect: retry.on.contains(&RetryOn::Connect),
            on_reset: retry.on.contains(&RetryOn::Reset),
            on_reset_before_sent: retry.on.contains(&RetryOn::ResetBeforeSent),
            on_timeout: retry.on.contains(&RetryOn::Timeout),
            statuses: retry.statuses.iter().copied().collect(),
            any_method: retry.methods == policy::RetryMethods::All,
            per_try_timeout: retry.per_try_timeout(),
            total_timeout: retry.total_timeout(),
            other_target: retry.other_target,
        },
        dns: DnsTerms {
            min_ttl: dns.min_ttl.seconds(),
            max_ttl: dns.max_ttl.seconds(),
            stale: dns.stale.seconds(),
            nx_grace: dns.nx_grace.seconds(),
            families: Families::from_numbers(&dns.families).unwrap_or_default(),
        },
        certificate: upstream.client_certificate,
        shown: None,
    })
}

fn settings(upstream: &model::Upstream, name: Arc<str>) -> Settings {
    let Healthchecks { active, passive, threshold } = &*upstream.healthchecks;
    let policy = &upstream.policy;
    let statuses = |statuses: &[u16]| statuses.iter().copied().collect();
    let active_limits = Thresholds {
        successes: active.healthy.successes.into(),
        tcp_failures: active.unhealthy.tcp_failures.into(),
        timeouts: active.unhealthy.timeouts.into(),
        http_failures: active.unhealthy.http_failures.into(),
        healthy: statuses(&active.healthy.http_statuses),
        unhealthy: statuses(&active.unhealthy.http_statuses),
    };
    let passive_limits = Thresholds {
        successes: passive.healthy.successes.into(),
        tcp_failures: passive.unhealthy.tcp_failures.into(),
        timeouts: passive.unhealthy.timeouts.into(),
        http_failures: passive.unhealthy.http_failures.into(),
        healthy: statuses(&passive.healthy.http_statuses),
        unhealthy: statuses(&passive.unhealthy.http_statuses),
    };
    // Probes of unhealthy addresses decide on their return.
    let probed = active.interval_when_unhealthy().is_some();
    Settings {
        algorithm: match upstream.algorithm {
            Algorithm::RoundRobin => balancer::Algorithm::RoundRobin,
            Algorithm::LeastConnections => balancer::Algorithm::LeastConnections,
            Algorithm::ConsistentHashing => balancer::Algorithm::ConsistentHashing,
            Algorithm::Latency => balancer::Algorithm::Latency,
            Algorithm::StickySessions => balancer::Algorithm::StickySessions,
        },
        checks: balancer::Checks { on: upstream.checks_on(), active: active_limits, passive: passive_limits },
        threshold: threshold.get(),
        panic_threshold: policy.panic_threshold.get(),
        other_statuses: match policy.other_statuses {
            policy::OtherStatuses::Ignore => balancer::OtherStatuses::Ignore,
            policy::OtherStatuses::Success => balancer::OtherStatuses::Success,
            policy::OtherStatuses::Failure => balancer::OtherStatuses::Failure,
        },
        recover_after: policy.recover_after().filter(|_| !probed).unwrap_or_default(),
        initial: match policy.probe.initial {
            policy::Initial::Unknown if active.is_on() => balancer::Initial::Unknown,
            policy::Initial::Healthy | policy::Initial::Unknown => balancer::Initial::Healthy,
        },
        outlier: policy.outlier.as_ref().map(|outlier| balancer::Outlier {
            consecutive: outlier.consecutive.into(),
            statuses: statuses(&outlier.statuses),
            success_rate: outlier.success_rate.get(),
            window: outlier.window.seconds(),
            min_requests: outlier.min_requests,
            base: outlier.base.seconds(),
            max: outlier.max.seconds(),
            jitter: outlier.jitter.into(),
            max_percent: outlier.max_percent.into(),
        }),
        slow_start: policy.slow_start.duration().map(|duration| balancer::SlowStart {
            duration,
            min_percent: policy.slow_start.min_percent.into(),
            aggression: policy.slow_start.aggression.get(),
        }),
        limits: balancer::Limits {
            max_requests: policy.limits.max_requests,
            max_queue: policy.limits.max_queue,
            queue_timeout: policy.limits.queue_timeout.seconds(),
        },
        hash_balance_factor: policy.hash_balance_factor.into(),
        // The group adds the data plane's own zone.
        zone: policy.zone.prefer.then(|| balancer::ZonePreference {
            own: "".into(),
            min_healthy_percent: policy.zone.min_healthy_percent.into(),
        }),
        retries: balancer::RetryBudget {
            percent: policy.retry.budget_percent.into(),
            min: policy.retry.budget_min,
        },
        ..Settings::new(name)
    }
}

fn input(input: model::HashInput, name: Option<&str>) -> Result<HashInput, Unusable> {
    let name = || name.ok_or(("hash_on", "has no name"));
    Ok(match input {
        model::HashInput::None => HashInput::None,
        model::HashInput::Consumer => HashInput::Consumer,
        model::HashInput::Ip => HashInput::Address,
        model::HashInput::Path => HashInput::Path,
        model::HashInput::Cookie => HashInput::Cookie,
        model::HashInput::Header => {
            let header =
                HeaderName::try_from(name()?).map_err(|_| ("hash_on_header", "is no name of a header"))?;
            HashInput::Header(header)
        }
        model::HashInput::QueryArg => HashInput::Argument(name()?.into()),
        model::HashInput::UriCapture => HashInput::Capture(name()?.into()),
    })
}

fn cookie(upstream: &model::Upstream) -> Option<CookieTerms> {
    let policy = &upstream.policy.cookie;
    let is_hashed = [upstream.hash_on, upstream.hash_fallback].contains(&model::HashInput::Cookie);
    let own_name = || format!("{STICKY_COOKIE}{:.8}", upstream.id.simple().to_string());
    let (name, path) = match upstream.algorithm {
        Algorithm::StickySessions => (
            upstream.sticky_sessions_cookie.clone().unwrap_or_else(own_name),
            &upstream.sticky_sessions_cookie_path,
        ),
        _ if is_hashed => (upstream.hash_on_cookie.clone()?, &upstream.hash_on_cookie_path),
        _ => return None,
    };
    Some(CookieTerms {
        name: name.into(),
        path: path.as_str().into(),
        secure: match policy.secure {
            // Browsers take `SameSite=None` with `Secure` alone.
            CookieSecure::Auto if policy.same_site == CookieSameSite::None => Some(true),
            CookieSecure::Auto => None,
            CookieSecure::Always => Some(true),
            CookieSecure::Never => Some(false),
        },
        same_site: match policy.same_site {
            CookieSameSite::Lax => "Lax",
            CookieSameSite::Strict => "Strict",
            CookieSameSite::None => "None",
        },
        max_age: policy.max_age,
        domain: policy.domain.as_deref().map(Into::into),
    })
}

fn probing(upstream: &model::Upstream) -> Result<Option<Probing>, Unusable> {
    let active = &upstream.healthchecks.active;
    let probe = &upstream.policy.probe;
    if !active.is_on() {
        return Ok(None);
    }
    Ok(Some(Probing {
        speaks: speaks(active, probe)?,
        tls: active.r#type.is_tls(),
        verify: active.https_verify_certificate,
        sni: active.https_sni.as_deref().map(Into::into),
        timeout: active.timeout().unwrap_or(Duration::ZERO),
        healthy: active.interval_when_healthy(),
        unhealthy: active.interval_when_unhealthy(),
        jitter: probe.jitter,
        concurrency: active.concurrency.try_into().unwrap_or(usize::MAX),
        port: probe.port,
        host: probe.host.as_deref().map(Into::into),
        fields: fields(active)?,
    }))
}

fn speaks(active: &ActiveChecks, probe: &policy::Probe) -> Result<Speaks, Unusable> {
    Ok(match active.r#type {
        CheckType::Tcp => Speaks::Tcp,
        CheckType::Http | CheckType::Https => Speaks::Http {
            version: match probe.http_version {
                HttpVersion::Http10 => Version::HTTP_10,
                HttpVersion::Http11 => Version::HTTP_11,
                HttpVersion::Http2 => Version::HTTP_2,
            },
            method: match probe.method {
                ProbeMethod::Get => Method::GET,
                ProbeMethod::Head => Method::HEAD,
                ProbeMethod::Options => Method::OPTIONS,
                ProbeMethod::Post => Method::POST,
            },
            path: path(&active.http_path)?,
        },
        CheckType::Grpc | CheckType::Grpcs => {
            Speaks::Grpc { service: probe.grpc_service.as_deref().unwrap_or_default().into() }
        }
    })
}

fn path(path: &str) -> Result<PathAndQuery, Unusable> {
    let read = PathAndQuery::try_from(path).or_else(|_| model::encode_uri(path.as_bytes()).parse());
    read.map_err(|_| ("healthchecks", "has a path that cannot be requested"))
}

fn fields(active: &ActiveChecks) -> Result<Arc<[(HeaderName, HeaderValue)]>, Unusable> {
    let unusable = ("healthchecks", "has a header that cannot be sent");
    let mut fields = Vec::new();
    for (name, values) in active.headers.iter().flatten() {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| unusable)?;
        for value in values {
            fields.push((name.clone(), HeaderValue::try_from(value.as_str()).map_err(|_| unusable)?));
        }
    }
    Ok(fields.into())
}
