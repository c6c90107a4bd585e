//! The part of a fake's reads that most tests have no use for.

/// Answers every read but `get` and `query` with an error. For use within `impl Reads`.
#[macro_export]
macro_rules! no_other_reads {
    () => {
        $crate::no_other_reads! {
            key_of(&'a str) -> ::esclusa_flow::settings::KeySchema;
            scan(&'a ::esclusa_flow::reads::TableScan) -> ::esclusa_flow::reads::ItemPage;
            object(&'a ::esclusa_flow::reads::ObjectRead) -> Option<::esclusa_flow::reads::ObjectBytes>;
            objects(&'a ::esclusa_flow::reads::ObjectList) -> ::esclusa_flow::reads::ObjectPage;
        }

        fn get_many<'a>(
            &'a self,
            _: &'a str,
            _: &'a [::esclusa_flow::item::Item],
        ) -> ::esclusa_flow::BoxFuture<'a, Result<Vec<Option<::esclusa_flow::item::Item>>, ::esclusa_flow::reads::ReadError>> {
            Box::pin(::std::future::ready(Err(::esclusa_flow::reads::ReadError::Invalid("not in this test".to_owned()))))
        }
    };
    ($($name:ident($question:ty) -> $answer:ty;)*) => {$(
        fn $name<'a>(
            &'a self,
            _: $question,
        ) -> ::esclusa_flow::BoxFuture<'a, Result<$answer, ::esclusa_flow::reads::ReadError>> {
            Box::pin(::std::future::ready(Err(::esclusa_flow::reads::ReadError::Invalid("not in this test".to_owned()))))
        }
    )*};
}
