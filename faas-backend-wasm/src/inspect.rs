//! What a module is, found out before anything of it is compiled or run.

use std::collections::BTreeMap;

use faas_core::guest::wasi::HEADER;
use faas_core::{Error, ErrorKind};
use wasmparser::{
    CompositeInnerType, Encoding, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType, Validator,
    WasmFeatures,
};

use crate::config::ModuleLimits;

const _: () = assert!(HEADER == 64, "ABI.md and the exports of version 1 say so");

/// What is known of a module that may run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) entry: Entry,
    /// The bytes of its memory before it does anything.
    pub(crate) memory: u64,
    /// Whether it exports an initialisation of its own.
    pub(crate) init: bool,
    /// Whether it exports what a reactor does first.
    pub(crate) initialize: bool,
}

/// How a module is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// By version 1 of this library's interface.
    Guest,
    /// As a program: JSON on standard input, the last line of standard output is the result.
    Command,
}

/// The functions that a module may import, with their types.
pub(crate) type Imports = BTreeMap<(String, String), Signature>;

/// The type of a function, as text: parameters and results.
pub(crate) type Signature = String;

/// The version of the guest interface.
pub(crate) const ABI: u32 = 1;

/// The exports of a guest of version 1, which all take and return nothing.
pub(crate) const RUN: &str = "faas_v1_run";
pub(crate) const INIT: &str = "faas_v1_init";
pub(crate) const DESCRIBE: &str = "faas_v1_describe";
/// The exports of WASI's programs and reactors.
pub(crate) const START: &str = "_start";
pub(crate) const INITIALIZE: &str = "_initialize";

/// What a module is and must be compared with.
pub(crate) struct Inspector<'a> {
    pub(crate) limits: &'a ModuleLimits,
    pub(crate) features: WasmFeatures,
    pub(crate) imports: &'a Imports,
}

/// What the sections of a module have told so far.
#[derive(Default)]
struct Seen {
    types: Vec<Option<Signature>>,
    /// The types of all functions, imported ones first.
    functions: Vec<u32>,
    exports: BTreeMap<String, (ExternalKind, u32)>,
    memory: Option<u64>,
}

fn refused(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the module is refused: {}", text.into()))
}

fn signature(of: &FuncType) -> Signature {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(of.params()), list(of.results()))
}

impl Inspector<'_> {
    /// Validates a module and says what it is.
    ///
    /// # Errors
    /// `InvalidArgument` when it is no module that can run here, naming the reason.
    pub(crate) fn inspect(&self, bytes: &[u8]) -> Result<Facts, Error> {
        if bytes.len() as u64 > self.limits.bytes {
            return Err(refused(format!("it has {} bytes, over {}", bytes.len(), self.limits.bytes)));
        }
        if !bytes.starts_with(b"\0asm") {
            return Err(refused("it is not Wasm, which begins with the bytes 00 61 73 6d"));
        }
        let mut validator = Validator::new_with_features(self.features);
        let (mut seen, mut allocations) = (Seen::default(), Default::default());
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| invalid(&error))?;
            self.look(&payload, &mut seen)?;
            let function = match validator.payload(&payload).map_err(|error| invalid(&error))? {
                wasmparser::ValidPayload::Func(function, body) => (function, body),
                _ => continue,
            };
            let mut function_validator = function.0.into_validator(allocations);
            function_validator.validate(&function.1).map_err(|error| invalid(&error))?;
            allocations = function_validator.into_allocations();
        }
        seen.facts()
    }

    /// Refuses what is too much, and remembers what it is, before it is validated.
    fn look(&self, payload: &Payload<'_>, seen: &mut Seen) -> Result<(), Error> {
        let at_most = |count: u32, most: u32, what: &str| {
            if count <= most { Ok(()) } else { Err(refused(format!("it has {count} {what}, over {most}"))) }
        };
        let items = self.limits.items;
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                return Err(refused("it is a component, not a core module"));
            }
            Payload::TypeSection(types) => {
                at_most(types.count(), items, "types")?;
                for group in types.clone() {
                    seen.add_types(group.map_err(|error| invalid(&error))?);
                }
            }
            Payload::ImportSection(imports) => {
                at_most(imports.count(), items, "imports")?;
                for import in imports.clone().into_imports() {
                    let import = import.map_err(|error| invalid(&error))?;
                    self.check_import(&import, seen)?;
                }
            }
            Payload::FunctionSection(functions) => {
                at_most(functions.count(), self.limits.functions, "functions")?;
                for function in functions.clone() {
                    seen.functions.push(function.map_err(|error| invalid(&error))?);
                }
            }
            Payload::GlobalSection(globals) => at_most(globals.count(), items, "globals")?,
            Payload::ExportSection(exports) => {
                at_most(exports.count(), items, "exports")?;
                for export in exports.clone() {
                    let export = export.map_err(|error| invalid(&error))?;
                    seen.exports.insert(export.name.to_owned(), (export.kind, export.index));
                }
            }
            Payload::TableSection(tables) => {
                at_most(tables.count(), 1, "tables")?;
                for table in tables.clone() {
                    let initial = table.map_err(|error| invalid(&error))?.ty.initial;
                    if initial > self.limits.table_elements as u64 {
                        let most = self.limits.table_elements;
                        return Err(refused(format!(
                            "its table begins with {initial} elements, over {most}"
                        )));
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    let memory = memory.map_err(|error| invalid(&error))?;
                    seen.memory = Some(memory.initial.saturating_mul(64 << 10));
                }
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = u32::try_from(body.as_bytes().len()).unwrap_or(u32::MAX);
                at_most(bytes, self.limits.function_bytes, "bytes in one function")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn check_import(&self, import: &wasmparser::Import<'_>, seen: &mut Seen) -> Result<(), Error> {
        let (module, name) = (import.module, import.name);
        let (TypeRef::Func(index) | TypeRef::FuncExact(index)) = import.ty else {
            return Err(refused(format!("it imports '{module}.{name}', which is no function")));
        };
        seen.functions.push(index);
        let Some(known) = self.imports.get(&(module.to_owned(), name.to_owned())) else {
            return Err(refused(self.not_granted(module, name)));
        };
        match seen.types.get(index as usize) {
            Some(Some(found)) if found != known => {
                let text = format!("it imports '{module}.{name}' as {found}, which is {known}");
                Err(refused(text))
            }
            _ => Ok(()),
        }
    }

    fn not_granted(&self, module: &str, name: &str) -> String {
        let of_module = self.imports.keys().filter(|(from, _)| from == module).map(|(_, name)| name.as_str());
        let known: Vec<&str> = of_module.collect();
        if known.is_empty() {
            let mut modules: Vec<&str> = self.imports.keys().map(|(module, _)| module.as_str()).collect();
            modules.dedup();
            format!("it imports '{module}.{name}', which is not granted; modules are: {}", modules.join(", "))
        } else {
            format!("it imports '{module}.{name}', which there is not; there are: {}", known.join(", "))
        }
    }
}

fn invalid(error: &wasmparser::BinaryReaderError) -> Error {
    refused(format!("{} (at byte {})", error.message(), error.offset()))
}

impl Seen {
    fn add_types(&mut self, group: wasmparser::RecGroup) {
        for ty in group.into_types() {
            self.types.push(match &ty.composite_type.inner {
                CompositeInnerType::Func(function) => Some(signature(function)),
                _ => None,
            });
        }
    }

    /// The signature of an exported function.
    fn exported(&self, name: &str) -> Option<&Signature> {
        let (kind, index) = self.exports.get(name)?;
        if *kind != ExternalKind::Func {
            return None;
        }
        self.types.get(*self.functions.get(*index as usize)? as usize)?.as_ref()
    }

    /// Whether it exports the function, which must take and return nothing.
    fn exports_plain(&self, name: &str) -> Result<bool, Error> {
        match self.exported(name).map(String::as_str) {
            Some("() -> ()") => Ok(true),
            Some(other) => Err(refused(format!("its export '{name}' is {other}, not () -> ()"))),
            None if self.exports.contains_key(name) => {
                Err(refused(format!("its export '{name}' is no function")))
            }
            None => Ok(false),
        }
    }

    fn facts(&self) -> Result<Facts, Error> {
        let entry = if self.exports_plain(RUN)? {
            Entry::Guest
        } else if let Some(version) = self.other_version() {
            let text =
                format!("it speaks version {version} of the guest interface, and this backend version 1");
            return Err(refused(text));
        } else if self.exports_plain(START)? {
            Entry::Command
        } else {
            let names: Vec<&str> = self.exports.keys().map(String::as_str).take(8).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            let text = format!("it exports neither '{RUN}' nor '{START}', but {names}");
            return Err(refused(text));
        };
        if !matches!(self.exports.get("memory"), Some((ExternalKind::Memory, _))) {
            return Err(refused("it exports no 'memory'"));
        }
        let (init, initialize) = (self.exports_plain(INIT)?, self.exports_plain(INITIALIZE)?);
        Ok(Facts { entry, memory: self.memory.unwrap_or_default(), init, initialize })
    }

    /// The version of the interface that the module speaks, if it is another one.
    fn other_version(&self) -> Option<&str> {
        self.exports.keys().find_map(|name| {
            let version = name.strip_prefix("faas_v")?.strip_suffix("_run")?;
            version.bytes().all(|byte| byte.is_ascii_digit()).then_some(version)
        })
    }
}
