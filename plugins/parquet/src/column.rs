//! Columns: their types, and the values of a record that fit.

use esclusa_plugin::json::Json;
use esclusa_plugin::moment::{self, Moment, NANOS};
use esclusa_plugin::number;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::Type as SchemaType;
use std::fmt;

/// Digits of a decimal that fit in 64 bits.
const DECIMAL_DIGITS: u32 = 18;

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name; also the field's.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
}

/// The unit of a timestamp. Parquet has no seconds: they are stored as milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `timestamp[s]`
    Second,
    /// `timestamp[ms]`
    Milli,
    /// `timestamp[us]`
    Micro,
    /// `timestamp[ns]`
    Nano,
}

impl Unit {
    /// How many a second has.
    fn per_second(self) -> i64 {
        match self {
            Unit::Second => 1,
            Unit::Milli => 1000,
            Unit::Micro => 1_000_000,
            Unit::Nano => NANOS,
        }
    }

    /// The unit in which it is stored.
    fn stored(self) -> Unit {
        if self == Unit::Second { Unit::Milli } else { self }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `float32`
    Float32,
    /// `float64`
    Float64,
    /// `bool`
    Boolean,
    /// `string`
    Text,
    /// `date`
    Date,
    /// `timestamp[…]`
    Timestamp(Unit),
    /// `decimal(precision, scale)`
    Decimal(u32, u32),
}

/// The value of a column in one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// No value.
    Null,
    /// Also dates, as days since the Unix epoch.
    Int32(i32),
    /// Also timestamps since the Unix epoch, and decimals without their point.
    Int64(i64),
    /// Single precision.
    Float32(f32),
    /// Double precision.
    Float64(f64),
    /// True or false.
    Boolean(bool),
    /// Text.
    Text(String),
}

impl ColumnType {
    /// The type that a configuration names.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "int32" => ColumnType::Int32,
            "int64" => ColumnType::Int64,
            "float32" | "float" => ColumnType::Float32,
            "float64" | "double" => ColumnType::Float64,
            "bool" | "boolean" => ColumnType::Boolean,
            "string" => ColumnType::Text,
            "date" => ColumnType::Date,
            "timestamp[s]" => ColumnType::Timestamp(Unit::Second),
            "timestamp[ms]" => ColumnType::Timestamp(Unit::Milli),
            "timestamp[us]" => ColumnType::Timestamp(Unit::Micro),
            "timestamp[ns]" => ColumnType::Timestamp(Unit::Nano),
            _ => return Self::parse_decimal(name),
        })
    }

    fn parse_decimal(name: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "unknown type {name:?}; there are int32, int64, float32, float64, bool, string, date, timestamp[s], \
                 timestamp[ms], timestamp[us], timestamp[ns] and decimal(precision, scale)"
            )
        };
        let parameters = name.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(unknown)?;
        let (precision, scale) = parameters.split_once(',').ok_or_else(unknown)?;
        let digits = |text: &str| text.trim().parse::<u32>().map_err(|_| unknown());
        let (precision, scale) = (digits(precision)?, digits(scale)?);
        if precision == 0 || precision > DECIMAL_DIGITS || scale > precision {
            return Err(format!("{name}: a decimal has 1 to {DECIMAL_DIGITS} digits, of which the scale is a part"));
        }
        Ok(ColumnType::Decimal(precision, scale))
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnType::Int32 => "int32",
            ColumnType::Int64 => "int64",
            ColumnType::Float32 => "float32",
            ColumnType::Float64 => "float64",
            ColumnType::Boolean => "bool",
            ColumnType::Text => "string",
            ColumnType::Date => "date",
            ColumnType::Timestamp(Unit::Second) => "timestamp[s]",
            ColumnType::Timestamp(Unit::Milli) => "timestamp[ms]",
            ColumnType::Timestamp(Unit::Micro) => "timestamp[us]",
            ColumnType::Timestamp(Unit::Nano) => "timestamp[ns]",
            ColumnType::Decimal(precision, scale) => return write!(f, "decimal({precision},{scale})"),
        })
    }
}

impl Column {
    /// The column as Parquet describes it; it can be null.
    ///
    /// # Errors
    /// [`ParquetError`] if it cannot be described.
    pub(crate) fn schema(&self) -> Result<SchemaType, ParquetError> {
        let (physical, logical) = match self.kind {
            ColumnType::Int32 => (Physical::INT32, None),
            ColumnType::Int64 => (Physical::INT64, None),
            ColumnType::Float32 => (Physical::FLOAT, None),
            ColumnType::Float64 => (Physical::DOUBLE, None),
            ColumnType::Boolean => (Physical::BOOLEAN, None),
            ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            ColumnType::Date => (Physical::INT32, Some(LogicalType::Date)),
            ColumnType::Timestamp(unit) => {
                let unit = match unit.stored() {
                    Unit::Second | Unit::Milli => TimeUnit::MILLIS,
                    Unit::Micro => TimeUnit::MICROS,
                    Unit::Nano => TimeUnit::NANOS,
                };
                (Physical::INT64, Some(LogicalType::timestamp(false, unit)))
            }
            ColumnType::Decimal(precision, scale) => {
                (Physical::INT64, Some(LogicalType::decimal(scale as i32, precision as i32)))
            }
        };
        let mut builder = SchemaType::primitive_type_builder(&self.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        if let ColumnType::Decimal(precision, scale) = self.kind {
            builder = builder.with_precision(precision as i32).with_scale(scale as i32);
        }
        builder.build()
    }

    /// The column's value for a field; a missing one is null.
    ///
    /// # Errors
    /// The column, the expected kind of value and the one that was found.
    pub(crate) fn cell(&self, field: Option<Json<'_>>) -> Result<Cell, String> {
        let field = match field {
            None | Some(Json::Null) => return Ok(Cell::Null),
            Some(field) => field,
        };
        self.fit(&field).ok_or_else(|| {
            let mut found = String::new();
            field.write(&mut found);
            if let Some((end, _)) = found.char_indices().nth(60) {
                found.truncate(end);
                found.push('…');
            }
            format!("column {:?} expects {}, found {} ({found})", self.name, self.kind, field.kind())
        })
    }

    fn fit(&self, field: &Json<'_>) -> Option<Cell> {
        match (self.kind, field) {
            (ColumnType::Int32, Json::Number(text)) => integer(text)?.parse().ok().map(Cell::Int32),
            (ColumnType::Int64, Json::Number(text)) => integer(text)?.parse().ok().map(Cell::Int64),
            (ColumnType::Float32, Json::Number(text)) => {
                text.parse().ok().filter(|f: &f32| f.is_finite()).map(Cell::Float32)
            }
            (ColumnType::Float64, Json::Number(text)) => {
                text.parse().ok().filter(|f: &f64| f.is_finite()).map(Cell::Float64)
            }
            (ColumnType::Boolean, Json::Boolean(value)) => Some(Cell::Boolean(*value)),
            (ColumnType::Text, Json::Text(text)) => Some(Cell::Text(text.to_string())),
            (ColumnType::Date, Json::Text(text)) => moment::date(text).and_then(|d| d.try_into().ok()).map(Cell::Int32),
            (ColumnType::Timestamp(unit), Json::Text(text)) => timestamp(unit, text).map(Cell::Int64),
            (ColumnType::Timestamp(unit), Json::Number(text)) => {
                let value = integer(text)?.parse().ok()?;
                Moment::in_units(value, unit.per_second())?.units(unit.stored().per_second()).map(Cell::Int64)
            }
            (ColumnType::Decimal(precision, scale), Json::Number(text) | Json::Text(text)) => {
                decimal(text, precision, scale).map(Cell::Int64)
            }
            _ => None,
        }
    }
}

/// A whole number, also if it is written as `5.0` or `5e0`.
fn integer(text: &str) -> Option<String> {
    number::canonical(text).ok().filter(|canonical| !canonical.contains('.'))
}

/// In the unit that is stored; no fraction of the column's own unit is lost.
fn timestamp(unit: Unit, text: &str) -> Option<i64> {
    let moment = Moment::read(text)?;
    moment.units(unit.per_second())?;
    moment.units(unit.stored().per_second())
}

/// The digits of a decimal without its point; `None` if there are more than fit.
fn decimal(text: &str, precision: u32, scale: u32) -> Option<i64> {
    let canonical = number::canonical(text).ok()?;
    let (whole, fraction) = canonical.split_once('.').unwrap_or((&canonical, ""));
    let zeros = (scale as usize).checked_sub(fraction.len())?;
    let unscaled: i64 = format!("{whole}{fraction}{}", "0".repeat(zeros)).parse().ok()?;
    (unscaled.unsigned_abs() < 10u64.pow(precision)).then_some(unscaled)
}
