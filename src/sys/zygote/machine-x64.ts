/**
 * The assembled bytes of machine-x64.S and where its entries begin. They are kept as text so that no assembler is needed
 * to run; machine.test.ts assembles the source and compares.
 */
export const machineX64 = {
  entries: { zygote: 0x0, call: 0x1d0, direct: 0x1f1 },
  hex: [
    '53 41 54 41 55 48 89 fb 48 8b 3b be 58 00 00 00 b8 b3 01 00 00 0f 05 48 85 c0 74 06 41 5d 41 5c',
    '5b c3 48 8b 7b 08 be 58 00 00 00 b8 b3 01 00 00 0f 05 48 85 c0 0f 85 8c 01 00 00 4c 8b 63 10 4c',
    '8b 6b 20 49 8b 04 24 48 85 c0 78 26 49 8b 7c 24 08 49 8b 74 24 10 49 8b 54 24 18 4d 8b 54 24 20',
    '4d 8b 44 24 28 4d 8b 4c 24 30 0f 05 49 83 c4 50 eb d1 48 8b 7b 18 48 8d 73 38 ba 10 00 00 00 45',
    '31 d2 45 31 c0 45 31 c9 b8 2d 00 00 00 0f 05 48 83 f8 10 0f 85 2e 01 00 00 48 8b 43 38 48 89 43',
    '48 48 8b 53 40 48 3b 53 28 77 6a 48 89 c7 4c 89 ee 45 31 d2 b8 11 00 00 00 0f 05 48 3b 43 40 75',
    '54 48 c7 43 58 ff ff ff ff 48 8d 43 58 49 89 45 08 4c 89 ef be 58 00 00 00 b8 b3 01 00 00 0f 05',
    '48 85 c0 74 39 48 89 43 50 4c 89 ef 48 8b 73 28 ba 04 00 00 00 b8 1c 00 00 00 0f 05 48 8b 7b 30',
    '48 8d 73 48 ba 18 00 00 00 b8 01 00 00 00 0f 05 e9 5d ff ff ff 48 c7 c0 a6 ff ff ff eb c7 4d 8b',
    '65 58 49 8b 7c 24 08 49 8b 74 24 10 49 8b 54 24 18 4d 8b 54 24 20 4d 8b 44 24 28 4d 8b 4c 24 30',
    '49 8b 04 24 0f 05 49 8b 4c 24 38 48 89 01 48 85 c0 78 1c 74 0c 41 f6 44 24 40 02 74 0c 31 db eb',
    '39 41 f6 44 24 40 04 75 2c 49 83 c4 50 eb b3 41 f6 44 24 40 01 74 11 49 3b 44 24 48 75 0a 41 8b',
    '4c 24 44 49 01 cc eb e1 bb ff ff ff ff 41 f6 44 24 40 08 75 05 bb 6f 00 00 00 49 89 85 80 00 00',
    '00 4d 89 a5 88 00 00 00 49 8b 7d 78 49 8d b5 80 00 00 00 ba 10 00 00 00 b8 01 00 00 00 0f 05 85',
    'db 78 a6 89 df eb 02 31 ff b8 e7 00 00 00 0f 05 49 89 fb 49 8b 03 49 8b 7b 08 49 8b 73 10 49 8b',
    '53 18 4d 8b 53 20 4d 8b 43 28 4d 8b 4b 30 0f 05 c3 48 89 f8 48 89 f7 48 89 d6 48 89 ca 4d 89 c2',
    '4d 89 c8 45 31 c9 0f 05 c3',
  ].join(' '),
};
