(module
  (type $pair (func (param i32 i64 f32 f64) (result i32 v128)))
  (global $count (mut i64) (i64.const 0))
  (memory (export "memory") 2)
  (func $mixed (type $pair) (local funcref)
    (i32.trunc_sat_f64_s (local.get 3)) (v128.const i32x4 1 2 3 4))
  (func (export "faas_v1_run")
    (call $mixed (i32.const 1) (i64.const 2) (f32.const nan) (f64.const inf))
    drop drop
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (unreachable)))
