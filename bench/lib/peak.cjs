/** Loaded before a measured process: leaves its peak resident kilobytes behind when it ends. */
const { appendFileSync } = require('node:fs');

process.on('exit', () => {
  if (process.env.PEAK_FILE) appendFileSync(process.env.PEAK_FILE, `${process.resourceUsage().maxRSS}\n`);
});
