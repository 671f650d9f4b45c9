;; Takes lines of Docker's json-file log apart, as far as they have exactly the shape that encoder.wat gives them; at any
;; other line it stops, and TypeScript reads that one. decoder.test.ts holds it against JSON.parse on random input, and this
;; text against the bytes in decoder-bytes.ts.
;;
;; dec(p, e, o, olim, flags, current) -> end of output
;;   p, e      input; e is after the last byte. A line without its newline is left
;;   o, olim   output; no line is begun at or after olim
;;   flags     1 stdout is wanted, 2 stderr is wanted, 4 put the time and a space before each line, 8 put a frame header
;;             before each line
;;   current   1 or 2: stop at a wanted line of the other stream; 0: take both
;; At address 0: after the consumed input; at 4: why it stopped (0 end of input, 1 other stream, 2 odd line, 3 output full);
;; at 8: the stream of the line at which it stopped for reason 1.
;; 64 bytes after e may be read, 16 after the output's end are overwritten.
(module
 (memory (export "memory") 24 24)

 ;; value of a hexadecimal digit, or 255
 (func $hex (param $c i32) (result i32)
  (if (i32.le_u (i32.sub (local.get $c) (i32.const 48)) (i32.const 9)) (then (return (i32.sub (local.get $c) (i32.const 48)))))
  (local.set $c (i32.or (local.get $c) (i32.const 32)))
  (if (i32.le_u (i32.sub (local.get $c) (i32.const 97)) (i32.const 5)) (then (return (i32.sub (local.get $c) (i32.const 87)))))
  (i32.const 255))

 (func (export "dec") (param $p i32) (param $e i32) (param $o i32) (param $olim i32) (param $flags i32) (param $current i32) (result i32)
  (local $q i32) (local $t i32) (local $s i32) (local $m i32) (local $c i32) (local $begin i32) (local $r i32) (local $why i32) (local $v v128) (local $w i64)
  (block $stop
  (loop $line
   (local.set $why (i32.const 0))
   (br_if $stop (i32.ge_u (local.get $p) (local.get $e)))
   (local.set $why (i32.const 3))
   (br_if $stop (i32.ge_u (local.get $o) (local.get $olim)))
   ;; q: the newline
   (local.set $q (local.get $p))
   (block $found
    (loop $search
     (local.set $m (i8x16.bitmask (i8x16.eq (v128.load (local.get $q)) (v128.const i8x16 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10 10))))
     (if (local.get $m) (then (local.set $q (i32.add (local.get $q) (i32.ctz (local.get $m)))) (br $found)))
     (local.set $q (i32.add (local.get $q) (i32.const 16)))
     (br_if $search (i32.lt_u (local.get $q) (local.get $e)))))
   (local.set $why (i32.const 0))
   (br_if $stop (i32.ge_u (local.get $q) (local.get $e)))
   ;; {"log":" ... ","stream":"stdout","time":"2026-11-22T17:00:00.123456789Z"}
   (local.set $why (i32.const 2))
   (br_if $stop (i32.lt_u (i32.sub (local.get $q) (local.get $p)) (i32.const 68)))
   (br_if $stop (i64.ne (i64.load (local.get $p)) (i64.const 0x223a22676f6c227b)))
   (local.set $t (i32.sub (local.get $q) (i32.const 60)))
   (br_if $stop (i64.ne (i64.load (local.get $t)) (i64.const 0x6165727473222c22)))
   (br_if $stop (i32.ne (i32.load offset=24 (local.get $t)) (i32.const 0x223a2265)))
   (br_if $stop (i32.ne (i32.load16_u offset=58 (local.get $t)) (i32.const 0x7d22)))
   (br_if $stop (i32.ne (i32.load8_u offset=57 (local.get $t)) (i32.const 90)))
   (local.set $w (i64.load offset=16 (local.get $t)))
   (local.set $s (i32.const 0))
   (if (i64.eq (i64.load offset=8 (local.get $t)) (i64.const 0x6f647473223a226d)) (then
    (if (i64.eq (local.get $w) (i64.const 0x6d6974222c227475)) (then (local.set $s (i32.const 1))))))
   (if (i64.eq (i64.load offset=8 (local.get $t)) (i64.const 0x65647473223a226d)) (then
    (if (i64.eq (local.get $w) (i64.const 0x6d6974222c227272)) (then (local.set $s (i32.const 2))))))
   (br_if $stop (i32.eqz (local.get $s)))
   (if (i32.eqz (i32.and (local.get $flags) (local.get $s))) (then
    (local.set $p (i32.add (local.get $q) (i32.const 1))) (br $line)))
   (local.set $why (i32.const 1))
   (i32.store (i32.const 8) (local.get $s))
   (br_if $stop (i32.and (i32.ne (local.get $current) (i32.const 0)) (i32.ne (local.get $current) (local.get $s))))
   (local.set $why (i32.const 2))
   ;; what goes before the text
   (local.set $begin (local.get $o))
   (if (i32.and (local.get $flags) (i32.const 8)) (then (local.set $o (i32.add (local.get $o) (i32.const 8)))))
   (if (i32.and (local.get $flags) (i32.const 4)) (then
    (v128.store (local.get $o) (v128.load offset=28 (local.get $t)))
    (v128.store offset=16 (local.get $o) (v128.load offset=44 (local.get $t)))
    (i32.store8 offset=30 (local.get $o) (i32.const 32))
    (local.set $o (i32.add (local.get $o) (i32.const 31)))))
   ;; the text, from r to t
   (local.set $r (i32.add (local.get $p) (i32.const 8)))
   (block $text
   (block $bad
   (loop $scan
    (local.set $v (v128.load (local.get $r)))
    (v128.store (local.get $o) (local.get $v))
    (local.set $m (i8x16.bitmask (v128.or
     (i8x16.eq (local.get $v) (v128.const i8x16 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c 0x5c))
     (i8x16.eq (local.get $v) (v128.const i8x16 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22 0x22)))))
    (if (i32.eqz (local.get $m)) (then
     (local.set $r (i32.add (local.get $r) (i32.const 16))) (local.set $o (i32.add (local.get $o) (i32.const 16)))
     (br_if $bad (i32.gt_u (local.get $r) (local.get $t)))
     (br $scan)))
    (local.set $m (i32.ctz (local.get $m)))
    (local.set $r (i32.add (local.get $r) (local.get $m))) (local.set $o (i32.add (local.get $o) (local.get $m)))
    (br_if $text (i32.eq (local.get $r) (local.get $t)))
    (br_if $bad (i32.gt_u (local.get $r) (local.get $t)))
    (br_if $bad (i32.eq (i32.load8_u (local.get $r)) (i32.const 0x22)))
    ;; an escape
    (local.set $c (i32.load8_u offset=1 (local.get $r)))
    (local.set $r (i32.add (local.get $r) (i32.const 2)))
    (if (i32.eq (local.get $c) (i32.const 0x75)) (then
     (local.set $c (i32.const 0))
     (local.set $m (i32.const 0))
     (loop $digit
      (local.set $s (call $hex (i32.load8_u (i32.add (local.get $r) (local.get $m)))))
      (br_if $bad (i32.eq (local.get $s) (i32.const 255)))
      (local.set $c (i32.or (i32.shl (local.get $c) (i32.const 4)) (local.get $s)))
      (local.set $m (i32.add (local.get $m) (i32.const 1)))
      (br_if $digit (i32.lt_u (local.get $m) (i32.const 4))))
     (local.set $r (i32.add (local.get $r) (i32.const 4)))
     ;; surrogates need their partner
     (br_if $bad (i32.eq (i32.and (local.get $c) (i32.const 0xf800)) (i32.const 0xd800)))
     (if (i32.ge_u (local.get $c) (i32.const 0x800)) (then
       (i32.store8 (local.get $o) (i32.or (i32.const 0xe0) (i32.shr_u (local.get $c) (i32.const 12))))
       (i32.store8 offset=1 (local.get $o) (i32.or (i32.const 0x80) (i32.and (i32.shr_u (local.get $c) (i32.const 6)) (i32.const 63))))
       (i32.store8 offset=2 (local.get $o) (i32.or (i32.const 0x80) (i32.and (local.get $c) (i32.const 63))))
       (local.set $o (i32.add (local.get $o) (i32.const 3))))
      (else (if (i32.ge_u (local.get $c) (i32.const 0x80)) (then
       (i32.store8 (local.get $o) (i32.or (i32.const 0xc0) (i32.shr_u (local.get $c) (i32.const 6))))
       (i32.store8 offset=1 (local.get $o) (i32.or (i32.const 0x80) (i32.and (local.get $c) (i32.const 63))))
       (local.set $o (i32.add (local.get $o) (i32.const 2))))
      (else
       (i32.store8 (local.get $o) (local.get $c))
       (local.set $o (i32.add (local.get $o) (i32.const 1)))))))
     (br_if $bad (i32.gt_u (local.get $r) (local.get $t)))
     (br $scan)))
    (block $plain
     (br_if $plain (i32.or (i32.eq (local.get $c) (i32.const 0x22)) (i32.or (i32.eq (local.get $c) (i32.const 0x5c)) (i32.eq (local.get $c) (i32.const 0x2f)))))
     (if (i32.eq (local.get $c) (i32.const 0x6e)) (then (local.set $c (i32.const 10)) (br $plain)))
     (if (i32.eq (local.get $c) (i32.const 0x72)) (then (local.set $c (i32.const 13)) (br $plain)))
     (if (i32.eq (local.get $c) (i32.const 0x74)) (then (local.set $c (i32.const 9)) (br $plain)))
     (br $bad))
    (br_if $bad (i32.gt_u (local.get $r) (local.get $t)))
    (i32.store8 (local.get $o) (local.get $c))
    (local.set $o (i32.add (local.get $o) (i32.const 1)))
    (br $scan)))
   ;; bad: nothing of this line
   (local.set $o (local.get $begin))
   (br $stop))
   (if (i32.and (local.get $flags) (i32.const 8)) (then
    (local.set $m (i32.sub (i32.sub (local.get $o) (local.get $begin)) (i32.const 8)))
    (i32.store (local.get $begin) (i32.load (i32.const 8)))
    (i32.store8 offset=4 (local.get $begin) (i32.shr_u (local.get $m) (i32.const 24)))
    (i32.store8 offset=5 (local.get $begin) (i32.shr_u (local.get $m) (i32.const 16)))
    (i32.store8 offset=6 (local.get $begin) (i32.shr_u (local.get $m) (i32.const 8)))
    (i32.store8 offset=7 (local.get $begin) (local.get $m))))
   (local.set $p (i32.add (local.get $q) (i32.const 1)))
   (br $line)))
  (i32.store (i32.const 0) (local.get $p))
  (i32.store (i32.const 4) (local.get $why))
  (local.get $o))
)
