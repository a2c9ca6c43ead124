/**
 * Loaded before a measured process: leaves its peak resident kilobytes behind when it ends. Linux counts what the
 * parent held at the fork into getrusage's maximum (`exec_mmap` keeps it), so its own mark is read where there is one.
 */
const { appendFileSync, readFileSync } = require('node:fs');

function peakKib() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS;
  return /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))[1];
}

process.on('exit', () => {
  if (process.env.PEAK_FILE) appendFileSync(process.env.PEAK_FILE, `${peakKib()}\n`);
});
