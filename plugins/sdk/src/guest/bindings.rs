//! Generated from `wit/`: the imports, and the description of the component's type.
#![allow(missing_docs, unsafe_code, clippy::allow_attributes_without_reason)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "esclusa_plugin::guest",
});
