//! nothing yet
pub(crate) fn answer<T>(_: impl FnOnce(&dyn Tables) -> Result<T, crate::tables::Error>) -> Result<T, crate::tables::Error> { Err(crate::tables::Error::Invalid(String::new())) }
pub(crate) trait Tables {
 fn get(&self, t:&str, k:&crate::Item<'_>)->Result<Option<crate::Item<'static>>, crate::tables::Error>;
 fn query(&self, s:&crate::tables::Selection<'_>)->Result<Vec<crate::Item<'static>>, crate::tables::Error>;
}
