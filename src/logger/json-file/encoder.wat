;; Encodes raw output of a container as lines of Docker's json-file log. The readable reference is format.ts; encoder.test.ts
;; holds both against each other on random input and this text against the bytes in encoder-bytes.ts.
;;
;; enc(p, e, o, olim, suf, slen, psuf, pslen) -> end of output; the end of the consumed input is stored at address 0.
;;   p, e         input. Every line that begins before e must have its newline, or 16,387 bytes, in memory (it may end after e).
;;   o, olim      output; no line is begun at or after olim.
;;   suf, slen    what follows a whole line: \n","stream":"stdout",...,"time":"2026-11-22T17:00:00.123456789Z"}

;;   psuf, pslen  what follows a piece of 16,384 bytes: the same without the leading \n
;; Both templates are read in steps of 16 bytes up to 80, so they need that much room. The nine digits before Z are the
;; clock: each line takes those of suf and increments them there, so times are strictly increasing within a call.
(module
 (memory (export "memory") 32 32)

 ;; One tick: the decimal digits that end at address d, stopping at the point before them.
 (func $tick (param $d i32)
  (loop $carry
   (if (i32.eq (i32.load8_u (local.get $d)) (i32.const 57)) (then
     (i32.store8 (local.get $d) (i32.const 48)) (local.set $d (i32.sub (local.get $d) (i32.const 1))) (br $carry))
    (else (if (i32.ne (i32.load8_u (local.get $d)) (i32.const 46)) (then
     (i32.store8 (local.get $d) (i32.add (i32.load8_u (local.get $d)) (i32.const 1)))))))))

 (func (export "enc") (param $p i32) (param $e i32) (param $o i32) (param $olim i32) (param $suf i32) (param $slen i32) (param $psuf i32) (param $pslen i32) (result i32)
  (local $v v128) (local $m i32) (local $c i32) (local $d i32) (local $lim i32) (local $n i32) (local $w i32)
  (block $out
  (loop $line
   (br_if $out (i32.ge_u (local.get $p) (local.get $e)))
   (br_if $out (i32.ge_u (local.get $o) (local.get $olim)))
   (i64.store (local.get $o) (i64.const 0x223a22676f6c227b)) ;; {"log":"
   (local.set $o (i32.add (local.get $o) (i32.const 8)))
   (local.set $lim (i32.add (local.get $p) (i32.const 16384)))
   (loop $scan
    (if (i32.gt_u (i32.add (local.get $p) (i32.const 16)) (local.get $lim))
     (then
      (if (i32.and (i32.ge_u (local.get $p) (local.get $lim)) (i32.const 1)) (then
        ;; partial
        (memory.copy (local.get $o) (local.get $psuf) (local.get $pslen)) (local.set $o (i32.add (local.get $o) (local.get $pslen)))
        (local.set $d (i32.add (local.get $suf) (local.get $slen)))
        (i64.store (i32.sub (local.get $o) (i32.const 13)) (i64.load (i32.sub (local.get $d) (i32.const 13))))
        (i32.store8 (i32.sub (local.get $o) (i32.const 5)) (i32.load8_u (i32.sub (local.get $d) (i32.const 5))))
        (call $tick (i32.sub (local.get $d) (i32.const 5)))
        (br $line)))
      (local.set $c (i32.load8_u (local.get $p)))
      (i32.store8 (local.get $o) (local.get $c)))
     (else
      (local.set $v (v128.load (local.get $p)))
      (v128.store (local.get $o) (local.get $v))
      (local.set $m (i8x16.bitmask (v128.or (v128.or
        (i8x16.lt_s (local.get $v) (v128.const i8x16 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32 32))
        (i8x16.eq (local.get $v) (v128.const i8x16 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c)))
       (v128.or
        (i8x16.eq (v128.and (local.get $v) (v128.const i8x16 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd 0xfd)) (v128.const i8x16 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c 0x3c))
        (i8x16.eq (v128.and (local.get $v) (v128.const i8x16 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb 0xfb)) (v128.const i8x16 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22))))))
      (if (i32.eqz (local.get $m)) (then
        (local.set $p (i32.add (local.get $p) (i32.const 16))) (local.set $o (i32.add (local.get $o) (i32.const 16))) (br $scan)))
      (local.set $m (i32.ctz (local.get $m)))
      (local.set $p (i32.add (local.get $p) (local.get $m))) (local.set $o (i32.add (local.get $o) (local.get $m)))
      (local.set $c (i32.load8_u (local.get $p)))))
    ;; one byte c at p (already stored at o)
    (if (i32.eq (local.get $c) (i32.const 10)) (then
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (if (i32.le_u (local.get $slen) (i32.const 80)) (then
       (v128.store (local.get $o) (v128.load (local.get $suf)))
       (v128.store offset=16 (local.get $o) (v128.load offset=16 (local.get $suf)))
       (v128.store offset=32 (local.get $o) (v128.load offset=32 (local.get $suf)))
       (v128.store offset=48 (local.get $o) (v128.load offset=48 (local.get $suf)))
       (v128.store offset=64 (local.get $o) (v128.load offset=64 (local.get $suf))))
      (else (memory.copy (local.get $o) (local.get $suf) (local.get $slen))))
      (local.set $o (i32.add (local.get $o) (local.get $slen)))
      (call $tick (i32.sub (i32.add (local.get $suf) (local.get $slen)) (i32.const 5)))
      (br $line)))
    (if (i32.lt_u (local.get $c) (i32.const 0x80)) (then
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (if (i32.or (i32.eq (local.get $c) (i32.const 0x22)) (i32.eq (local.get $c) (i32.const 0x5c))) (then
        (i32.store8 (local.get $o) (i32.const 0x5c)) (i32.store8 offset=1 (local.get $o) (local.get $c)) (local.set $o (i32.add (local.get $o) (i32.const 2))) (br $scan)))
      (if (i32.eq (local.get $c) (i32.const 13)) (then
        (i32.store16 (local.get $o) (i32.const 0x725c)) (local.set $o (i32.add (local.get $o) (i32.const 2))) (br $scan)))
      (if (i32.or (i32.or (i32.lt_u (local.get $c) (i32.const 32)) (i32.eq (local.get $c) (i32.const 0x26))) (i32.eq (i32.and (local.get $c) (i32.const 0xfd)) (i32.const 0x3c))) (then
        (i32.store (local.get $o) (i32.const 0x3030755c))
        (i32.store8 offset=4 (local.get $o) (i32.add (i32.const 48) (i32.shr_u (local.get $c) (i32.const 4))))
        (local.set $d (i32.and (local.get $c) (i32.const 15)))
        (i32.store8 offset=5 (local.get $o) (i32.add (local.get $d) (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get $d) (i32.const 9)))))
        (local.set $o (i32.add (local.get $o) (i32.const 6))) (br $scan)))
      (local.set $o (i32.add (local.get $o) (i32.const 1))) (br $scan)))
    ;; utf-8: n = length or 0
    (local.set $n (i32.const 0))
    (local.set $w (i32.load (local.get $p)))
    (if (i32.and (i32.ge_u (local.get $c) (i32.const 0xc2)) (i32.le_u (local.get $c) (i32.const 0xdf))) (then
      (if (i32.eq (i32.and (local.get $w) (i32.const 0xc000)) (i32.const 0x8000)) (then (local.set $n (i32.const 2))))))
    (if (i32.eq (i32.and (local.get $c) (i32.const 0xf0)) (i32.const 0xe0)) (then
      (if (i32.eq (i32.and (local.get $w) (i32.const 0xc0c000)) (i32.const 0x808000)) (then
        (local.set $d (i32.and (i32.shr_u (local.get $w) (i32.const 8)) (i32.const 255)))
        (if (i32.eqz (i32.or (i32.and (i32.eq (local.get $c) (i32.const 0xe0)) (i32.lt_u (local.get $d) (i32.const 0xa0))) (i32.and (i32.eq (local.get $c) (i32.const 0xed)) (i32.gt_u (local.get $d) (i32.const 0x9f))))) (then (local.set $n (i32.const 3))))))))
    (if (i32.and (i32.ge_u (local.get $c) (i32.const 0xf0)) (i32.le_u (local.get $c) (i32.const 0xf4))) (then
      (if (i32.eq (i32.and (local.get $w) (i32.const 0xc0c0c000)) (i32.const 0x80808000)) (then
        (local.set $d (i32.and (i32.shr_u (local.get $w) (i32.const 8)) (i32.const 255)))
        (if (i32.eqz (i32.or (i32.and (i32.eq (local.get $c) (i32.const 0xf0)) (i32.lt_u (local.get $d) (i32.const 0x90))) (i32.and (i32.eq (local.get $c) (i32.const 0xf4)) (i32.gt_u (local.get $d) (i32.const 0x8f))))) (then (local.set $n (i32.const 4))))))))
    (if (i32.eqz (local.get $n)) (then
      (i64.store (local.get $o) (i64.const 0x646666665c)) (i32.store (local.get $o) (i32.const 0x6666755c)) (i32.store16 offset=4 (local.get $o) (i32.const 0x6466))
      (local.set $o (i32.add (local.get $o) (i32.const 6))) (local.set $p (i32.add (local.get $p) (i32.const 1))) (br $scan)))
    (if (i32.eq (i32.and (local.get $w) (i32.const 0xfeffff)) (i32.const 0xa880e2)) (then
      (i32.store (local.get $o) (i32.const 0x3032755c)) (i32.store8 offset=4 (local.get $o) (i32.const 50)) (i32.store8 offset=5 (local.get $o) (i32.sub (i32.shr_u (i32.and (local.get $w) (i32.const 0xff0000)) (i32.const 16)) (i32.const 112)))
      (local.set $o (i32.add (local.get $o) (i32.const 6))) (local.set $p (i32.add (local.get $p) (i32.const 3))) (br $scan)))
    (i32.store (local.get $o) (local.get $w))
    (local.set $p (i32.add (local.get $p) (local.get $n))) (local.set $o (i32.add (local.get $o) (local.get $n))) (br $scan)))
  )
  (i32.store (i32.const 0) (local.get $p))
  (local.get $o))
)
