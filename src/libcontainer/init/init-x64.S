/*
 * docker-init for x86-64: the first process of a container started with --init. It runs the command as its child in a
 * process group of its own (the terminal's foreground one), passes every signal on to it, reaps whatever is orphaned
 * onto it, and ends with the command's exit code, or 128 + the signal that ended it. Same manners as tini.
 *
 * The whole ELF file is in this text; init.ts has its bytes, and a test that both agree:
 *   gcc -c init-x64.S -o init.o && objcopy -O binary -j .text init.o init
 *
 * Registers that live throughout: r12 argv of the command, r13 envp, r14 pid of the command, r15 its exit code | 0x100.
 * Stack: [rsp] the old signal mask, [rsp+8] wait status, then the path being tried.
 */
        .intel_syntax noprefix
        .text
        .set    BASE, 0x400000
        .set    PATH_MAX, 8192

        /* --- ELF header: 64 bits, little-endian, static, one segment --- */
header: .byte   0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
        .word   2, 62
        .long   1
        .quad   BASE + start - header
        .quad   64, 0
        .long   0
        .word   64, 56, 1, 0, 0, 0
        /* the segment: readable and executable, the file as it is */
        .long   1, 5
        .quad   0, BASE, BASE, end - header, end - header, 4096

        /*
         * Signals that we wait for: all but ILL TRAP ABRT BUS FPE SEGV SYS (they are our own faults). TTOU must be among
         * them: the command has this mask too while it makes itself the terminal's foreground group, and would be stopped.
         */
mask:   .quad   ~((1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 10) | (1 << 30))

start:  mov     rbx, [rsp]
        lea     r12, [rsp + 16]                 /* past argc and argv[0] */
        lea     r13, [rsp + 8*rbx + 16]
        mov     rax, [r12]
        test    rax, rax
        jz      usage
        mov     ecx, [rax]                      /* an argument is followed by others or by the environment: readable */
        and     ecx, 0xffffff
        cmp     ecx, '-' | ('-' << 8)           /* "--" */
        jne     1f
        add     r12, 8
1:      cmp     qword ptr [r12], 0
        je      usage
        sub     rsp, PATH_MAX + 32
        lea     rsi, [rip + mask]
        mov     rdx, rsp
        call    setmask
        xor     r15d, r15d
        mov     edi, 17                         /* clone(SIGCHLD): what every libc calls, so every profile allows it */
        xor     esi, esi
        xor     edx, edx
        xor     r10d, r10d
        xor     r8d, r8d
        mov     eax, 56
        syscall
        test    eax, eax
        js      usage
        jz      child
        mov     r14d, eax

        /* --- pid 1 --- */
wait:   lea     rdi, [rip + mask]
        xor     esi, esi
        xor     edx, edx
        mov     r10d, 8
        mov     eax, 128                        /* rt_sigtimedwait without a limit */
        syscall
        test    eax, eax
        js      wait
        cmp     eax, 17
        je      reap
        mov     edi, r14d
        mov     esi, eax
        mov     eax, 62                         /* kill */
        syscall
        jmp     wait
reap:   mov     edi, -1
        lea     rsi, [rsp + 8]
        mov     edx, 1                          /* WNOHANG */
        xor     r10d, r10d
        mov     eax, 61                         /* wait4 */
        syscall
        test    eax, eax
        jle     reaped
        cmp     eax, r14d
        jne     reap
        mov     eax, [rsp + 8]
        mov     ecx, eax
        and     ecx, 0x7f
        movzx   eax, ah                         /* exit code */
        mov     r15d, eax
        jz      1f
        lea     r15d, [rcx + 128]
1:      or      r15d, 0x100
        jmp     reap
reaped: test    r15d, r15d
        jz      wait
        mov     edi, r15d                       /* the kernel takes the low eight bits */
        jmp     leave

        /* --- the command --- */
child:  xor     edi, edi
        xor     esi, esi
        mov     eax, 109                        /* setpgid(0, 0) */
        syscall
        mov     eax, 39                         /* getpid */
        syscall
        mov     [rsp + 8], eax
        xor     edi, edi
        mov     esi, 0x5410                     /* TIOCSPGRP; no terminal: ENOTTY, which does not matter */
        lea     rdx, [rsp + 8]
        mov     eax, 16
        syscall
        mov     rsi, rsp
        xor     edx, edx
        call    setmask
        mov     rdi, [r12]
        mov     rcx, rdi
1:      mov     al, [rcx]
        inc     rcx
        cmp     al, '/'
        je      direct
        test    al, al
        jnz     1b
        cmp     byte ptr [rdi], 0               /* "" is in no directory */
        mov     eax, -2
        je      failed

        /* look for PATH in the environment: rbx its value */
        mov     rdx, r13
2:      mov     rsi, [rdx]
        add     rdx, 8
        lea     rbx, [rip + defaultpath]
        test    rsi, rsi
        jz      search
        cmp     dword ptr [rsi], 'P' | ('A' << 8) | ('T' << 16) | ('H' << 24)
        jne     2b
        cmp     byte ptr [rsi + 4], '='
        jne     2b
        lea     rbx, [rsi + 5]

search: mov     ebp, -2                         /* what to say when nothing is found: ENOENT, or EACCES if one was seen */
entry:  lea     rdi, [rsp + 16]
        lea     r8, [rsp + PATH_MAX]            /* the last place that may be written, with room for '/' and NUL */
        mov     rcx, rdi
1:      mov     al, [rbx]
        test    al, al
        jz      2f
        cmp     al, ':'
        je      2f
        mov     [rdi], al
        inc     rbx
        inc     rdi
        cmp     rdi, r8
        jae     toolong
        jmp     1b
2:      cmp     rdi, rcx                        /* an empty entry is the current directory: the bare name */
        je      3f
        mov     byte ptr [rdi], '/'
        inc     rdi
3:      mov     rsi, [r12]
4:      cmp     rdi, r8
        jae     toolong
        mov     al, [rsi]
        mov     [rdi], al
        inc     rsi
        inc     rdi
        test    al, al
        jnz     4b
        lea     rdi, [rsp + 16]
        call    exec
        cmp     eax, -13
        jne     5f
        mov     ebp, eax
        jmp     next
5:      cmp     eax, -2                         /* ENOENT and ENOTDIR: the next entry */
        je      next
        cmp     eax, -20
        jne     failed
next:   cmp     byte ptr [rbx], 0
        lea     rbx, [rbx + 1]
        jne     entry
        mov     eax, ebp
        jmp     failed
toolong:
        mov     eax, -36
        jmp     failed
direct: call    exec

        /* eax: -errno. 127 for ENOENT, 126 for EACCES, else 1, as tini. */
failed: mov     edi, 127
        cmp     eax, -2
        je      1f
        dec     edi
        cmp     eax, -13
        je      1f
        mov     edi, 1
1:      mov     r15d, edi
        mov     edi, 2
        lea     rsi, [rip + text]
        mov     edx, textend - text
        mov     eax, 1
        syscall
        mov     rsi, [r12]
        xor     edx, edx
2:      inc     edx
        cmp     byte ptr [rsi + rdx - 1], 0
        jne     2b
        mov     byte ptr [rsi + rdx - 1], 10
        mov     eax, 1
        syscall
        mov     edi, r15d
leave:  mov     eax, 231                        /* exit_group */
        syscall
usage:  mov     edi, 1
        jmp     leave

        /* execve(rdi); a file without a known format is a script for /bin/sh, as execvp(3) takes it */
exec:   mov     rsi, r12
        mov     rdx, r13
        mov     eax, 59
        syscall
        cmp     eax, -8
        jne     1f
        mov     [r12], rdi
        lea     rdi, [rip + shell]
        mov     [r12 - 8], rdi                  /* the place of "--" or of our own name */
        lea     rsi, [r12 - 8]
        mov     eax, 59
        syscall
1:      ret

        /* rt_sigprocmask(SIG_SETMASK, rsi, rdx, 8) */
setmask:
        mov     edi, 2
        mov     r10d, 8
        mov     eax, 14
        syscall
        ret

defaultpath:
        .asciz  "/bin:/usr/bin"
shell:  .asciz  "/bin/sh"
text:   .ascii  "docker-init: cannot run "
textend:
end:
