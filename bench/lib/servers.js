/** Servers as processes of their own, and requests to them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createInterface } from 'node:readline';

/** Starts a command that prints `listening on URL`. */
export async function startServer(args, env = {}) {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const lines = createInterface(child.stdout);
  const [line] = await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(([status]) => {
      throw new Error(`${args.join(' ')} ended with ${status}`);
    }),
  ]);
  const url = line.split(' ').at(-1);
  return {
    url,
    /** Most resident MB there ever were. */
    peakMegabytes: () =>
      Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) / 1024,
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** One request; resolves with headers and, unless `onChunk` takes it, the body. @throws Error unless the status is 2xx */
export function fetchWhole(url, { method = 'GET', headers = {}, body, agent, onChunk } = {}) {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent }, (answer) => {
      const chunks = [];
      answer.on('data', onChunk ?? ((chunk) => chunks.push(chunk)));
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode >= 300) reject(new Error(`${method} ${url}: ${answer.statusCode} ${text}`));
        else resolve({ headers: answer.headers, text });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
