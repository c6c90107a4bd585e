//! Guests written as core modules in WebAssembly text and wrapped into components of the contract, for code that no
//! toolchain would emit or that needs no WASI.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The parts of a guest. The defaults make a guest that does nothing, correctly.
pub(crate) struct Core {
    /// WIT of further packages, which the world can import.
    pub packages: Vec<&'static str>,
    /// Lines of the world, such as imports.
    pub world: &'static str,
    /// Further definitions of the module; imports go first.
    pub module: String,
    /// Body of `cabi_realloc (param i32 i32 i32 i32) (result i32)`.
    pub realloc: String,
    /// Body of `describe (result i32)`: address of the information.
    pub describe: String,
    /// Body of `init (param i32 i32) (result i32)`: address of the result.
    pub init: String,
    /// Body of `handle (param i32) (result i32)`: address of the result.
    pub handle: String,
    /// Body of the function that runs after `handle (param i32)`.
    pub post: String,
    /// The memory.
    pub memory: &'static str,
    pub encoding: StringEncoding,
    /// Custom sections of the module, as bytes.
    pub custom: Vec<u8>,
}

/// Address of zeros: an empty and valid answer of each function.
pub(crate) const ZEROS: &str = "(i32.const 1024)";

/// Allocates by counting upwards, growing the memory; never frees.
const BUMP: &str = "
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $bump) (i32.const 7)) (i32.const -8)))
    (global.set $bump (i32.add (local.get $at) (local.get 3)))
    (if (i32.gt_u (global.get $bump) (i32.mul (memory.size) (i32.const 65536)))
      (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get 3) (i32.const 16)))))))
    (local.get $at)";

impl Default for Core {
    fn default() -> Self {
        Core {
            packages: Vec::new(),
            world: "",
            module: String::new(),
            realloc: BUMP.to_owned(),
            describe: ZEROS.to_owned(),
            init: ZEROS.to_owned(),
            handle: ZEROS.to_owned(),
            post: String::new(),
            memory: r#"(memory (export "memory") 2)"#,
            encoding: StringEncoding::UTF8,
            custom: Vec::new(),
        }
    }
}

impl Core {
    /// A guest whose `handle` has this body.
    pub(crate) fn handling(handle: &str) -> Core {
        Core { handle: handle.to_owned(), ..Core::default() }
    }

    /// A guest whose `handle` answers with these bytes (escaped as in WebAssembly text).
    pub(crate) fn answering(answer: &str) -> Core {
        let data = format!("(data (i32.const 2048) \"{answer}\")");
        Core { handle: "(i32.const 2048)".to_owned(), module: data, ..Core::default() }
    }

    /// The core module as text.
    pub(crate) fn text(&self) -> String {
        let Core { module, realloc, describe, init, handle, post, memory, .. } = self;
        format!(
            r#"(module
            {module}
            {memory}
            (global $bump (mut i32) (i32.const 65536))
            (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
            (func (export "esclusa:router/lifecycle@0.2.0#describe") (result i32) {describe})
            (func (export "esclusa:router/lifecycle@0.2.0#init") (param i32 i32) (result i32) {init})
            (func (export "esclusa:router/handler@0.2.0#handle") (param i32) (result i32) {handle})
            (func (export "cabi_post_esclusa:router/handler@0.2.0#handle") (param i32) {post}))"#
        )
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).expect("the text parses");
        module.extend_from_slice(&self.custom);
        self.embed(&mut module);
        ComponentEncoder::default().module(&module).expect("a module").encode().expect("a component")
    }

    /// Embeds the world that the module belongs to.
    pub(crate) fn embed(&self, module: &mut Vec<u8>) {
        let mut resolve = Resolve::default();
        resolve.push_dir("../../wit").expect("the contract parses");
        for package in &self.packages {
            resolve.push_str("inline.wit", package).expect("a package");
        }
        let world =
            format!("package test:guest; world guest {{ include esclusa:router/plugin@0.2.0; {} }}", self.world);
        let package = resolve.push_str("guest.wit", &world).expect("a world");
        let world = resolve.select_world(&[package], Some("guest")).expect("the world");
        embed_component_metadata(module, &resolve, world, self.encoding).expect("metadata");
    }
}
