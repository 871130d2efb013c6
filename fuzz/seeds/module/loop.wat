(module
  (memory (export "memory") 1 4)
  (func $spin (loop (br 0)))
  (start $spin)
  (func (export "faas_v1_run")))
