//! A Parquet file: rows are collected in columns and written as one row group. The bytes depend on the rows alone.

use crate::column::{Cell, Column, ColumnType};
use crate::config::{Compression, ParquetSettings};
use crate::row::Row;
use parquet::basic::Compression as Codec;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use std::sync::Arc;

/// Written into every file instead of the library's version, so that an update does not change the bytes of a repetition.
const CREATED_BY: &str = "esclusa-parquet";

/// Rows of one file.
pub(crate) struct RowFile {
    columns: Vec<ColumnData>,
    first: Option<u32>,
    several: bool,
}

/// The values of a column that are there, and for each row whether it has one.
struct ColumnData {
    values: ColumnValues,
    levels: Vec<i16>,
}

enum ColumnValues {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Boolean(Vec<bool>),
    Text(Vec<ByteArray>),
}

impl RowFile {
    /// Without rows.
    pub(crate) fn new(columns: &[Column]) -> Self {
        let data = |column: &Column| ColumnData { values: ColumnValues::of(column.kind), levels: Vec::new() };
        RowFile { columns: columns.iter().map(data).collect(), first: None, several: false }
    }

    /// Adds a row of this event.
    pub(crate) fn push(&mut self, event: u32, row: Row) {
        self.several |= self.first.is_some_and(|first| first != event);
        self.first.get_or_insert(event);
        for (column, cell) in self.columns.iter_mut().zip(row) {
            column.push(cell);
        }
    }

    /// The event that all rows come from; `None` if there are several.
    pub(crate) fn cause(&self) -> Option<u32> {
        self.first.filter(|_| !self.several)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`ParquetError`] if the library refuses, which is a bug of this plugin.
    pub(crate) fn write(self, settings: &ParquetSettings) -> Result<Vec<u8>, ParquetError> {
        let codec = match settings.compression {
            Compression::Snappy => Codec::SNAPPY,
            Compression::None => Codec::UNCOMPRESSED,
        };
        let properties =
            WriterProperties::builder().set_created_by(CREATED_BY.to_owned()).set_compression(codec).build();
        let mut writer = SerializedFileWriter::new(Vec::new(), settings.schema.clone(), Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for column in &self.columns {
            column.write(&mut group)?;
        }
        group.close()?;
        writer.into_inner()
    }
}

impl ColumnData {
    fn push(&mut self, cell: Cell) {
        match (&mut self.values, cell) {
            (ColumnValues::Int32(values), Cell::Int32(value)) => values.push(value),
            (ColumnValues::Int64(values), Cell::Int64(value)) => values.push(value),
            (ColumnValues::Float32(values), Cell::Float32(value)) => values.push(value),
            (ColumnValues::Float64(values), Cell::Float64(value)) => values.push(value),
            (ColumnValues::Boolean(values), Cell::Boolean(value)) => values.push(value),
            (ColumnValues::Text(values), Cell::Text(value)) => values.push(value.into_bytes().into()),
            // A cell is null, or of its column's type.
            _ => return self.levels.push(0),
        }
        // The library takes the values that are there, and a level for each row: 1 with a value, 0 without.
        self.levels.push(1);
    }

    fn write(&self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ParquetError> {
        match &self.values {
            ColumnValues::Int32(values) => self.write_as::<Int32Type>(group, values),
            ColumnValues::Int64(values) => self.write_as::<Int64Type>(group, values),
            ColumnValues::Float32(values) => self.write_as::<FloatType>(group, values),
            ColumnValues::Float64(values) => self.write_as::<DoubleType>(group, values),
            ColumnValues::Boolean(values) => self.write_as::<BoolType>(group, values),
            ColumnValues::Text(values) => self.write_as::<ByteArrayType>(group, values),
        }
    }

    fn write_as<T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
        values: &[T::T],
    ) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("the schema has fewer columns than the rows".to_owned());
        let mut column = group.next_column()?.ok_or_else(missing)?;
        column.typed::<T>().write_batch(values, Some(&self.levels), None)?;
        column.close()
    }
}

impl ColumnValues {
    fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Int32 | ColumnType::Date => ColumnValues::Int32(Vec::new()),
            ColumnType::Int64 | ColumnType::Timestamp(_) | ColumnType::Decimal(..) => ColumnValues::Int64(Vec::new()),
            ColumnType::Float32 => ColumnValues::Float32(Vec::new()),
            ColumnType::Float64 => ColumnValues::Float64(Vec::new()),
            ColumnType::Boolean => ColumnValues::Boolean(Vec::new()),
            ColumnType::Text => ColumnValues::Text(Vec::new()),
        }
    }
}
