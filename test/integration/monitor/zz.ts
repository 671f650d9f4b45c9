import { readFileSync } from 'node:fs';
process.argv[2]='400';process.argv[3]='1';
process.on('exit',()=>{ const u=process.cpuUsage(); console.log('driver cpu ms/start', u.user/400e3, u.system/400e3); });
await import('./stress/main.ts');
