(module
  (memory (export "memory") 1)
  (table 10 funcref)
  (elem (i32.const 0) $deep)
  (func $deep (call_indirect (i32.const 0)))
  (func (export "faas_v1_run")
    (drop (memory.grow (i32.const 1000)))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
    (call $deep)))
