//! The derive macro of `model`.
//!
//! `#[derive(Record)]` makes everything that follows from the declaration of a struct: its fields with their
//! rules, its default, how it is read from a body, and its canonical form. An attribute says what the type
//! of a field does not:
//!
//! ```text
//! /// Port of the upstream.
//! #[field(default = 80, between(0, 65_535))]
//! pub port: u16,
//! ```
//!
//! `default = VALUE` is the value of a field that is not given; it is not written in the canonical form.
//! `name = "NAME"` is for a field whose name is no identifier.
//! `skip` is for a field that is no part of the entity's content. Every other word is a method of
//! `model::Rules`. A field that is declared `must_understand` is written under its name with a leading `!`, and
//! only when it does not hold its default.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Error, Expr, Fields, Ident, Lit, Meta, Result, Token, Type};

/// Implements `Record`, `Default`, `Serialize` and `Deserialize` for a struct.
#[proc_macro_derive(Record, attributes(field))]
pub fn record(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// What one field declares.
struct Declared<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    description: String,
    /// The name in bodies, when it is not the identifier.
    name: Option<String>,
    default: Option<Expr>,
    skip: bool,
    must_understand: bool,
    /// Calls on `Rules`.
    rules: Tokens,
}

fn expand(input: &DeriveInput) -> Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "a record is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(input, "the fields of a record have names"));
    };
    let declared = fields.named.iter().map(declared).collect::<Result<Vec<_>>>()?;
    let (skipped, kept): (Vec<_>, Vec<_>) = declared.iter().partition(|field| field.skip);
    let record = implement_record(&input.ident, &kept, &skipped);
    let default = implement_default(&input.ident, &declared);
    let nested = implement_field_type(&input.ident);
    let serialize = implement_serialize(&input.ident, &kept);
    let deserialize = implement_deserialize(&input.ident);
    Ok(quote! { #record #default #nested #serialize #deserialize })
}

fn declared(field: &syn::Field) -> Result<Declared<'_>> {
    let ident = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "expected a name"))?;
    let mut found = Declared {
        ident,
        ty: &field.ty,
        description: description(&field.attrs),
        name: None,
        default: None,
        skip: false,
        must_understand: false,
        rules: Tokens::new(),
    };
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("field")) {
        let words = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
        words.into_iter().for_each(|word| found.add(word));
    }
    Ok(found)
}

impl Declared<'_> {
    fn add(&mut self, word: Meta) {
        match word {
            Meta::NameValue(pair) if pair.path.is_ident("default") => self.default = Some(pair.value),
            Meta::NameValue(pair) if pair.path.is_ident("name") => self.name = literal(&pair.value),
            Meta::Path(path) if path.is_ident("skip") => self.skip = true,
            Meta::Path(method) => {
                self.must_understand |= method.is_ident("must_understand");
                self.rules.extend(quote! { .#method() });
            }
            Meta::NameValue(pair) => {
                let (method, value) = (pair.path, pair.value);
                self.rules.extend(quote! { .#method(#value) });
            }
            Meta::List(list) => {
                let (method, values) = (list.path, list.tokens);
                self.rules.extend(quote! { .#method(#values) });
            }
        }
    }

    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.ident.unraw().to_string())
    }

    fn default(&self) -> Tokens {
        self.default
            .as_ref()
            .map_or_else(|| quote! { ::core::default::Default::default() }, |value| quote! { #value })
    }
}

/// The text of the documentation comments, without line breaks.
fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => literal(&pair.value),
        _ => None,
    });
    lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join(" ")
}

/// The value of a text literal.
fn literal(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn implement_record(name: &Ident, kept: &[&Declared<'_>], skipped: &[&Declared<'_>]) -> Tokens {
    let infos = kept.iter().map(|field| {
        let (text, ty, description) = (field.name(), field.ty, &field.description);
        let (rules, default) = (&field.rules, field.default());
        quote! {
            ::model::Field::new::<#ty>(#text, #description, ::model::Rules::new()#rules, #default)
        }
    });
    let visits = kept.iter().enumerate().map(|(index, field)| {
        let ident = field.ident;
        quote! { visit(&fields[#index], &self.#ident); }
    });
    let reads = kept.iter().enumerate().map(|(index, field)| {
        let (ident, default) = (field.ident, field.default());
        quote! { #ident: reader.field(&fields[#index], #default), }
    });
    let sets = kept.iter().enumerate().map(|(index, field)| {
        let ident = field.ident;
        quote! { #index => self.#ident = members.next_value()?, }
    });
    let others = skipped.iter().map(|field| {
        let (ident, default) = (field.ident, field.default());
        quote! { #ident: #default, }
    });
    quote! {
        impl ::model::Record for #name {
            fn fields() -> &'static [::model::Field] {
                static FIELDS: ::std::sync::LazyLock<::std::vec::Vec<::model::Field>> =
                    ::std::sync::LazyLock::new(|| ::std::vec![#(#infos),*]);
                &FIELDS
            }

            fn each(&self, visit: &mut dyn FnMut(&'static ::model::Field, &dyn ::model::FieldValue)) {
                let fields = <Self as ::model::Record>::fields();
                #(#visits)*
            }

            fn set<'de, A: ::serde::de::MapAccess<'de>>(
                &mut self,
                index: usize,
                members: &mut A,
            ) -> ::core::result::Result<(), A::Error> {
                match index {
                    #(#sets)*
                    _ => {}
                }
                ::core::result::Result::Ok(())
            }

            fn read(reader: &mut ::model::Reader) -> Self {
                let fields = <Self as ::model::Record>::fields();
                Self { #(#reads)* #(#others)* }
            }
        }
    }
}

fn implement_default(name: &Ident, declared: &[Declared<'_>]) -> Tokens {
    let values = declared.iter().map(|field| {
        let (ident, default) = (field.ident, field.default());
        quote! { #ident: #default, }
    });
    quote! {
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#values)* }
            }
        }
    }
}

/// A record may be a field of another one.
fn implement_field_type(name: &Ident) -> Tokens {
    quote! {
        impl ::model::FieldValue for #name {
            fn check(&self, _: &::model::Rules, level: ::model::Level) -> ::core::option::Option<::model::FieldErrors> {
                ::model::nested::check(self, level)
            }

            fn show(&self, _: &::model::Rules) -> ::model::Value {
                ::model::nested::show(self)
            }
        }

        impl ::model::FieldType for #name {
            fn read(
                value: ::model::Value,
                _: &::model::Rules,
                form: bool,
            ) -> ::core::result::Result<Self, ::model::FieldErrors> {
                ::model::nested::read(value, form)
            }

            fn read_part(
                value: ::model::Value,
                _: &::model::Rules,
                form: bool,
            ) -> (::core::option::Option<Self>, ::core::option::Option<::model::FieldErrors>) {
                ::model::nested::read_part(value, form)
            }

            fn describe(_: &::model::Rules) -> ::model::Map {
                ::model::nested::describe::<Self>()
            }

            fn fields() -> &'static [::model::Field] {
                <Self as ::model::Record>::fields()
            }

            fn marks(
                value: ::core::option::Option<&::model::Value>,
                path: &str,
                found: &mut ::std::vec::Vec<::std::string::String>,
            ) {
                ::model::nested::marks::<Self>(value, path, found);
            }

            fn write<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                ::serde::Serialize::serialize(self, serializer)
            }
        }
    }
}

/// A field with a default of its own, or an optional one, is left out when it holds it. A field without is
/// always written, unless it must be understood: it is left out at the default of its type.
fn implement_serialize(name: &Ident, kept: &[&Declared<'_>]) -> Tokens {
    let written = kept.iter().map(|field| {
        let (ident, ty, default) = (field.ident, field.ty, field.default());
        let mark = if field.must_understand { "!" } else { "" };
        let text = format!("{mark}{}", field.name());
        let has_default = field.default.is_some() || field.must_understand;
        quote! {
            if <#ty as ::model::FieldType>::is_written(&self.#ident, #has_default, || #default) {
                map.serialize_entry(#text, &::model::Canonical(&self.#ident))?;
            }
        }
    });
    quote! {
        impl ::serde::Serialize for #name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                #(#written)*
                map.end()
            }
        }
    }
}

fn implement_deserialize(name: &Ident) -> Tokens {
    quote! {
        impl<'de> ::serde::Deserialize<'de> for #name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                ::model::nested::deserialize(deserializer)
            }
        }
    }
}
