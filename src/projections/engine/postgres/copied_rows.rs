//! Rows that are copied into a table in one go: PostgreSQL takes them page by page, an `insert` row by row.

use sqlx::{Encode, PgConnection, Postgres, Type, encode::IsNull, postgres::PgArgumentBuffer};

/// Signature, flags and length of the header's extension (PostgreSQL, `COPY`, "Binary Format").
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A field that is null, and what ends the rows.
const NULL: i32 = -1;
const TRAILER: i16 = -1;

/// Rows for some columns of a table.
pub struct CopiedRows {
    into: &'static str,
    columns: i16,
    bytes: PgArgumentBuffer,
}

impl CopiedRows {
    /// For `into`: a table and its columns.
    pub fn new(into: &'static str) -> Self {
        let columns = into.split(',').count();
        let columns = i16::try_from(columns).expect("a table has no more columns");
        let mut bytes = PgArgumentBuffer::default();
        bytes.extend_from_slice(HEADER);
        Self { into, columns, bytes }
    }

    /// Begins a row. All its values are added then, in the order of the columns.
    pub fn begin(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
        self
    }

    /// Adds a value.
    ///
    /// # Errors
    /// PostgreSQL has no such value.
    pub fn add<'q, T>(&mut self, value: T) -> sqlx::Result<&mut Self>
    where
        T: Encode<'q, Postgres> + Type<Postgres>,
    {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&NULL.to_be_bytes());
        let begin = self.bytes.len();
        if let IsNull::No = value.encode(&mut self.bytes).map_err(sqlx::Error::Encode)? {
            let length = self.bytes.len() - begin;
            let length =
                i32::try_from(length).map_err(|error| sqlx::Error::Encode(error.into()))?;
            self.bytes[at..begin].copy_from_slice(&length.to_be_bytes());
        }
        Ok(self)
    }

    /// Copies them.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses a row.
    pub async fn copy(mut self, tx: &mut PgConnection) -> sqlx::Result<()> {
        if self.bytes.len() == HEADER.len() {
            return Ok(());
        }
        self.bytes.extend_from_slice(&TRAILER.to_be_bytes());
        let statement = format!("copy {} from stdin (format binary)", self.into);
        let mut copy = tx.copy_in_raw(&statement).await?;
        copy.send(std::mem::take(&mut *self.bytes)).await?;
        copy.finish().await?;
        Ok(())
    }
}
