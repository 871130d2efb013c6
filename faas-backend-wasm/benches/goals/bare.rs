//! The floor: wasmtime as it comes, with the same engine and the same guest, and nothing of ours.

use std::path::{Path, PathBuf};

use faas_backend_wasm::{WasmConfig, bench_engine};
use faas_core::artifact::{MANIFEST, Manifest};
use wasmtime::{Caller, Engine, Extern, Func, InstancePre, Linker, Module, ModuleExport, Store, TypedFunc};

/// What the imports of a call answer.
pub(crate) struct Call {
    index: u32,
    input: &'static [u8],
    reply: Vec<u8>,
}

/// A module that is ready to be instantiated.
pub(crate) struct Bare {
    engine: Engine,
    pre: InstancePre<Call>,
    run: ModuleExport,
    manifest: Manifest,
}

/// The module of an artifact, and its manifest.
fn module_of(artifact: &Path) -> (PathBuf, Manifest) {
    let text = std::fs::read(artifact.join(MANIFEST)).expect("a manifest");
    let manifest: Manifest = serde_json::from_slice(&text).expect("a manifest");
    (artifact.join(&manifest.file), manifest)
}

impl Bare {
    pub(crate) fn compile(artifact: &Path, config: &WasmConfig) -> Self {
        let engine = bench_engine(config).expect("an engine");
        let (path, manifest) = module_of(artifact);
        let module = Module::from_file(&engine, path).expect("a module");
        Self::link(engine, &module, manifest)
    }

    /// Writes the module as the engine has it to a file, from which [`load`](Self::load) reads it.
    pub(crate) fn precompile(artifact: &Path, into: &Path) -> (Engine, Manifest) {
        let engine = bench_engine(&WasmConfig::default()).expect("an engine");
        let (path, manifest) = module_of(artifact);
        let compiled = engine.precompile_module(&std::fs::read(path).expect("a module")).expect("compiled");
        std::fs::write(into, compiled).expect("a file");
        (engine, manifest)
    }

    #[expect(unsafe_code, reason = "what the floor does")]
    pub(crate) fn load(engine: &Engine, file: &Path, manifest: &Manifest) -> Self {
        // SAFETY: `precompile` has just written the file.
        let module = unsafe { Module::deserialize_file(engine, file) }.expect("a module");
        Self::link(engine.clone(), &module, manifest.clone())
    }

    fn link(engine: Engine, module: &Module, manifest: Manifest) -> Self {
        let mut linker = imports(&engine);
        linker.define_unknown_imports_as_traps(module).expect("imports");
        let pre = linker.instantiate_pre(module).expect("imports that fit");
        let run = module.get_export_index("faas_v1_run").expect("an export");
        Self { engine, pre, run, manifest }
    }

    /// Instantiates the module, calls the action, and gives the instance back, alive.
    pub(crate) fn live(&self, action: &str, input: &'static [u8]) -> Store<Call> {
        let actions = &self.manifest.description.actions;
        let index = actions.iter().position(|spec| spec.name.name() == action).expect("an action");
        self.live_at(u32::try_from(index).expect("few actions"), input)
    }

    pub(crate) fn live_at(&self, index: u32, input: &'static [u8]) -> Store<Call> {
        let mut store = Store::new(&self.engine, Call { index, input, reply: Vec::new() });
        store.set_epoch_deadline(1_000_000_000);
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        let run = instance.get_module_export(&mut store, &self.run).and_then(Extern::into_func);
        let run: TypedFunc<(), ()> =
            run.as_ref().map(|run: &Func| run.typed(&store)).expect("a function").expect("its type");
        run.call(&mut store, ()).expect("a run");
        assert!(!store.data().reply.is_empty(), "it replied");
        store
    }

    /// The place of an action in the module's list.
    pub(crate) fn index(&self, action: &str) -> u32 {
        let actions = &self.manifest.description.actions;
        let index = actions.iter().position(|spec| spec.name.name() == action).expect("an action");
        u32::try_from(index).expect("few actions")
    }
}

/// The three imports that a run needs.
fn imports(engine: &Engine) -> Linker<Call> {
    let mut linker = Linker::new(engine);
    let memory = |caller: &mut Caller<'_, Call>| {
        caller.get_export("memory").and_then(Extern::into_memory).expect("a memory")
    };
    linker
        .func_wrap("faas_v1", "call", move |mut caller: Caller<'_, Call>, into: u32| {
            let mut header = [0_u8; 64];
            header[16..20].copy_from_slice(&caller.data().index.to_le_bytes());
            header[20] = 1;
            header[24] = 3;
            let length = u32::try_from(caller.data().input.len()).expect("a short input");
            header[28..32].copy_from_slice(&length.to_le_bytes());
            header[48..56].copy_from_slice(&(10_u64 << 20).to_le_bytes());
            memory(&mut caller).write(&mut caller, into as usize, &header)?;
            wasmtime::Result::Ok(())
        })
        .expect("an import");
    linker
        .func_wrap("faas_v1", "input", move |mut caller: Caller<'_, Call>, into: u32| {
            let input = caller.data().input;
            memory(&mut caller).write(&mut caller, into as usize, input)?;
            wasmtime::Result::Ok(())
        })
        .expect("an import");
    linker
        .func_wrap("faas_v1", "reply", move |mut caller: Caller<'_, Call>, _: u32, from: u32, length: u32| {
            let mut reply = vec![0; length as usize];
            memory(&mut caller).read(&caller, from as usize, &mut reply)?;
            caller.data_mut().reply = reply;
            wasmtime::Result::Ok(())
        })
        .expect("an import");
    linker
}
