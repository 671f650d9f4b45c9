# x86-64, System V. The machine code of sys: one system call, and the zygote. machine-x64.ts holds the assembled bytes
# (machine.test.ts compares them). Nothing below touches the stack but the prologue of `zygote`.
.intel_syntax noprefix

# zygote(rdi = block): makes the process that all containers are cloned from; returns the pid of the middle child.
# The middle child shares memory (CLONE_VM|CLONE_VFORK), which drops rseq; the zygote is a copy of it and our child.
#   block: [0] clone_args of the middle child  [8] clone_args of the zygote  [16] its first steps (nr -1 ends them)
#          [24] socket of requests  [32] address of the arena  [40] its length  [48] descriptor of answers
#          [56] request: descriptor of the list  [64] its length
#          [72] answer: the same descriptor  [80] pid or -errno  [88] pidfd
.globl zygote
zygote:
  push rbx
  push r12
  push r13
  mov rbx, rdi
  mov rdi, [rbx]
  mov esi, 88
  mov eax, 435
  syscall
  test rax, rax
  jz middle
  pop r13
  pop r12
  pop rbx
  ret
middle:
  mov rdi, [rbx+8]
  mov esi, 88
  mov eax, 435
  syscall
  test rax, rax
  jnz leave0
  mov r12, [rbx+16]
  mov r13, [rbx+32]
tidy:
  mov rax, [r12]
  test rax, rax
  js  serve
  mov rdi, [r12+8]
  mov rsi, [r12+16]
  mov rdx, [r12+24]
  mov r10, [r12+32]
  mov r8,  [r12+40]
  mov r9,  [r12+48]
  syscall
  add r12, 80
  jmp tidy

# Every turn: receive 16 bytes, empty the arena, read the list into it, clone, answer, empty the arena again.
serve:
  mov rdi, [rbx+24]
  lea rsi, [rbx+56]
  mov edx, 16
  xor r10d, r10d
  xor r8d, r8d
  xor r9d, r9d
  mov eax, 45
  syscall
  cmp rax, 16
  jne leave0
  mov rax, [rbx+56]
  mov [rbx+72], rax
  mov rdx, [rbx+64]
  cmp rdx, [rbx+40]
  ja  refuse
  mov rdi, rax
  mov rsi, r13
  xor r10d, r10d
  mov eax, 17
  syscall
  cmp rax, [rbx+64]
  jne refuse
  mov qword ptr [rbx+88], -1
  lea rax, [rbx+88]
  mov [r13+8], rax
  mov rdi, r13
  mov esi, 88
  mov eax, 435
  syscall
  test rax, rax
  jz child
answer:
  mov [rbx+80], rax
  mov rdi, r13
  mov rsi, [rbx+40]
  mov edx, 4
  mov eax, 28
  syscall
  mov rdi, [rbx+48]
  lea rsi, [rbx+72]
  mov edx, 24
  mov eax, 1
  syscall
  jmp serve
refuse:
  mov rax, -90
  jmp answer

# The arena of a start: [0] clone_args  [88] first step  [120] descriptor of the outcome  [128] value  [136] step
# A step (80 bytes): [0] nr  [8..48] six arguments  [56] where the result goes  [64] flags  [72] -errno that it forgives
#   flags: 1 forgives that errno, and then skips the bytes in the upper half  2 tell and leave with 0 when the result
#   is > 0  4 a result of 0 is a failure  8 tell a failure and go on
child:
  mov r12, [r13+88]
step:
  mov rdi, [r12+8]
  mov rsi, [r12+16]
  mov rdx, [r12+24]
  mov r10, [r12+32]
  mov r8,  [r12+40]
  mov r9,  [r12+48]
  mov rax, [r12]
  syscall
  mov rcx, [r12+56]
  mov [rcx], rax
  test rax, rax
  js  failed
  jz  zero
  test byte ptr [r12+64], 2
  jz  next
  xor ebx, ebx
  jmp tell
zero:
  test byte ptr [r12+64], 4
  jnz fatal
next:
  add r12, 80
  jmp step
failed:
  test byte ptr [r12+64], 1
  jz  unforgiven
  cmp rax, [r12+72]
  jne unforgiven
  mov ecx, [r12+68]
  add r12, rcx
  jmp next
unforgiven:
  mov ebx, -1
  test byte ptr [r12+64], 8
  jnz tell
fatal:
  mov ebx, 111
tell:
  mov [r13+128], rax
  mov [r13+136], r12
  mov rdi, [r13+120]
  lea rsi, [r13+128]
  mov edx, 16
  mov eax, 1
  syscall
  test ebx, ebx
  js  next
  mov edi, ebx
  jmp out
leave0:
  xor edi, edi
out:
  mov eax, 231
  syscall

# call(rdi = block of nr, a1..a6): one system call on the calling thread
.globl call
call:
  mov r11, rdi
  mov rax, [r11]
  mov rdi, [r11+8]
  mov rsi, [r11+16]
  mov rdx, [r11+24]
  mov r10, [r11+32]
  mov r8,  [r11+40]
  mov r9,  [r11+48]
  syscall
  ret

# direct(nr, a1..a5): the same with arguments in registers, so that a buffer's address is taken at the call itself
.globl direct
direct:
  mov rax, rdi
  mov rdi, rsi
  mov rsi, rdx
  mov rdx, rcx
  mov r10, r8
  mov r8, r9
  xor r9d, r9d
  syscall
  ret
