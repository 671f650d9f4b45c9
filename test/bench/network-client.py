"""Clients and servers of the network scenarios: run in a container's network namespace, the same for every engine.

dns NAME COUNT          p50 of a look-up in microseconds, and look-ups a second
echo PORT               answers each byte with one; prints "ready"
trip HOST PORT COUNT    p50 of a round trip of one byte, in microseconds
connect HOST PORT COUNT p50 of connect and close, in microseconds
udp-echo PORT           returns each datagram; prints "ready"
udp-trip PORT COUNT     p50 of a round trip of 64 bytes to 127.0.0.1, in microseconds
sink PORT               takes bytes until the end; prints "ready", then megabytes a second
source HOST PORT BYTES  sends
"""

import socket
import struct
import sys
import time


def median(times):
    return sorted(times)[len(times) // 2] * 1e6


def dns(name, count):
    labels = b''.join(bytes([len(p)]) + p.encode() for p in name.split('.'))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(('127.0.0.11', 53))
    s.settimeout(5)
    times = []
    begun = time.perf_counter()
    for i in range(int(count)):
        query = struct.pack('!HHHHHH', i & 0xFFFF, 0x100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('!HH', 1, 1)
        t = time.perf_counter()
        s.send(query)
        answer = s.recv(512)
        times.append(time.perf_counter() - t)
        if answer[7] == 0:
            raise SystemExit('no answer for ' + name)
    print(median(times), int(count) / (time.perf_counter() - begun))


def listener(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('0.0.0.0', int(port)))
    s.listen(64)
    print('ready', flush=True)
    return s


def echo(port):
    s = listener(port)
    while True:
        c, _ = s.accept()
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            b = c.recv(1)
            if not b:
                break
            c.send(b)
        c.close()


def trip(host, port, count):
    s = socket.create_connection((host, int(port)), 5)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    for _ in range(int(count)):
        t = time.perf_counter()
        s.send(b'x')
        s.recv(1)
        times.append(time.perf_counter() - t)
    print(median(times))


def connect(host, port, count):
    times = []
    for _ in range(int(count)):
        t = time.perf_counter()
        socket.create_connection((host, int(port)), 5).close()
        times.append(time.perf_counter() - t)
    print(median(times))


def udp_echo(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('127.0.0.1', int(port)))
    print('ready', flush=True)
    while True:
        b, peer = s.recvfrom(512)
        s.sendto(b, peer)


def udp_trip(port, count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(('127.0.0.1', int(port)))
    s.settimeout(5)
    times = []
    for _ in range(int(count)):
        t = time.perf_counter()
        s.send(bytes(64))
        s.recv(512)
        times.append(time.perf_counter() - t)
    print(median(times))


def sink(port):
    s = listener(port)
    c, _ = s.accept()
    buffer = bytearray(1 << 20)
    total = 0
    begun = time.perf_counter()
    while True:
        n = c.recv_into(buffer)
        if n == 0:
            break
        total += n
    print(total / 1e6 / (time.perf_counter() - begun), flush=True)


def source(host, port, size):
    s = socket.create_connection((host, int(port)), 5)
    block = bytes(1 << 20)
    for _ in range(int(size) >> 20):
        s.sendall(block)


{'dns': dns, 'udp-echo': udp_echo, 'udp-trip': udp_trip, 'echo': echo, 'trip': trip, 'connect': connect, 'sink': sink, 'source': source}[sys.argv[1]](*sys.argv[2:])
