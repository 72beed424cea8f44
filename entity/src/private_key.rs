//! A private key as a column holds it.

use sea_orm::sea_query::{ArrayType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, ColumnType, QueryResult, TryGetError, TryGetable, Value};
use secrecy::{ExposeSecret, SecretString};

/// A private key in PEM. `Debug` does not show it, and its memory is wiped when it is dropped.
#[derive(Clone, Default)]
pub struct PrivateKey(SecretString);

impl PrivateKey {
    /// The PEM text, for the code that parses or publishes it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for PrivateKey {
    fn from(pem: String) -> Self {
        Self(pem.into())
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for PrivateKey {}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

impl From<PrivateKey> for Value {
    fn from(key: PrivateKey) -> Self {
        key.expose().into()
    }
}

impl TryGetable for PrivateKey {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        String::try_get_by(row, index).map(Self::from)
    }
}

impl ValueType for PrivateKey {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <String as ValueType>::try_from(value).map(Self::from)
    }

    fn type_name() -> String {
        "PrivateKey".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::String
    }

    fn column_type() -> ColumnType {
        ColumnType::Text
    }
}

impl Nullable for PrivateKey {
    fn null() -> Value {
        String::null()
    }
}
