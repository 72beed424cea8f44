//! The route, the service and the consumer of a request, as entries of logs show them.

use std::time::Duration;

use super::custom::{Custom, Find, Members};
use super::fixed::{WORKSPACE_ID, milliseconds};
use super::json::Object;
use crate::plugin::ended::Ended;
use crate::route::Entry;
use crate::section::{Consumer, Service};
use crate::upstream::Host;

/// Finds no value: nothing is added to an entity that is shown elsewhere.
struct Nothing;

/// Writes those that the request has.
pub(super) fn write(entry: &mut Object<'_>, ended: &Ended<'_>, find: &dyn Find) {
    if let Some(route) = ended.route
        && let Some(object) = entry.object("route")
    {
        write_route(object, route, find);
    }
    if let Some(service) = ended.service
        && let Some(object) = entry.object("service")
    {
        write_service(object, service, find);
    }
    if let Some(consumer) = ended.consumer()
        && let Some(object) = entry.object("consumer")
    {
        write_consumer(object, consumer, find);
    }
}

/// A route as entries show it.
pub(in crate::plugin) fn route(route: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    write_route(Object::begin(&mut out, Members::none()), route, &Nothing);
    out
}

/// A service as entries show it.
pub(in crate::plugin) fn service(service: &Service) -> Vec<u8> {
    let mut out = Vec::new();
    write_service(Object::begin(&mut out, Members::none()), service, &Nothing);
    out
}

impl Find for Nothing {
    fn write(&self, _wanted: &Custom, _out: &mut Vec<u8>) -> bool {
        false
    }
}

fn write_route(mut object: Object<'_>, route: &Entry, find: &dyn Find) {
    object.display("id", &route.id);
    if let Some(name) = &route.name {
        object.text("name", name.as_bytes());
    }
    if let Ok(created_at) = u64::try_from(route.created_at) {
        object.number("created_at", created_at);
    }
    texts(&mut object, "protocols", route.protocols());
    texts(&mut object, "methods", route.methods());
    texts(&mut object, "hosts", route.hosts());
    texts(&mut object, "paths", route.paths());
    texts(&mut object, "snis", route.snis());
    let mut headers = route.headers().peekable();
    if headers.peek().is_some()
        && let Some(mut within) = object.object("headers")
    {
        headers.for_each(|(name, values)| texts(&mut within, name, values));
        within.end(find);
    }
    object.number("https_redirect_status_code", route.redirect_status.into());
    object.signed("regex_priority", route.regex_priority().into());
    object.boolean("strip_path", route.strip_path);
    object.boolean("preserve_host", route.preserve_host);
    object.boolean("request_buffering", route.request_buffering);
    object.boolean("response_buffering", route.response_buffering);
    object.text("path_handling", model::Word::as_str(route.path_handling).as_bytes());
    if let Some(service) = route.service_id()
        && let Some(mut within) = object.object("service")
    {
        within.display("id", &service);
        within.end(find);
    }
    object.display("ws_id", &WORKSPACE_ID);
    object.end(find);
}

/// Writes a list that is not empty.
fn texts(object: &mut Object<'_>, name: &str, texts: impl Iterator<Item = String>) {
    let texts: Vec<_> = texts.collect();
    if !texts.is_empty() {
        object.texts(name, texts.iter().map(String::as_bytes));
    }
}

fn write_service(mut object: Object<'_>, service: &Service, find: &dyn Find) {
    let time = |duration: Duration| milliseconds(duration);
    object.display("id", &service.id);
    if let Some(name) = &service.name {
        object.text("name", name.as_bytes());
    }
    object.text("protocol", service.protocol().as_bytes());
    match &service.host {
        Host::Name(name) => object.text("host", name.as_bytes()),
        Host::Address(address) => object.address("host", *address),
    }
    object.number("port", service.port.into());
    if let Some(path) = &service.path {
        object.text("path", path.as_bytes());
    }
    object.number("retries", service.retries.into());
    object.number("connect_timeout", time(service.connect_timeout));
    object.number("write_timeout", time(service.write_timeout));
    object.number("read_timeout", time(service.read_timeout));
    object.boolean("enabled", service.enabled);
    if let Some(verify) = service.tls_verify {
        object.boolean("tls_verify", verify);
    }
    if let Some(depth) = service.tls_verify_depth {
        object.number("tls_verify_depth", depth.into());
    }
    texts(&mut object, "ca_certificates", service.ca_certificates().map(|id| id.to_string()));
    if let Some(certificate) = service.client_certificate()
        && let Some(mut within) = object.object("client_certificate")
    {
        within.display("id", &certificate);
        within.end(find);
    }
    object.display("ws_id", &WORKSPACE_ID);
    object.end(find);
}

fn write_consumer(mut object: Object<'_>, consumer: &Consumer, find: &dyn Find) {
    object.display("id", &consumer.id);
    if let Some(username) = consumer.username() {
        object.text("username", username.as_bytes());
    }
    if let Some(custom_id) = consumer.custom_id() {
        object.text("custom_id", custom_id.as_bytes());
    }
    object.display("ws_id", &WORKSPACE_ID);
    object.end(find);
}
