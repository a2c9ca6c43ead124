/**
 * What GET /metrics says of the process: under the names that prom-client's own have, so that dashboards find them, and
 * of those the ones that are true whenever they are asked for. All count from the start of the process. How far the event
 * loop lags, and garbage collection, are not among them: each scraper would take the others' share away.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type * as PromClientModule from 'prom-client';

export type MetricClasses = Pick<typeof PromClientModule, 'Counter' | 'Gauge' | 'Registry'>;

type Metric = readonly [name: string, help: string, valueOf: () => number];

const COUNTERS: readonly Metric[] = [
  ['process_cpu_user_seconds_total', 'Processor time in user mode.', () => process.cpuUsage().user / 1e6],
  [
    'process_cpu_system_seconds_total',
    'Processor time in the kernel.',
    () => process.cpuUsage().system / 1e6,
  ],
  ['process_cpu_seconds_total', 'Processor time, both together.', processorSeconds],
  [
    'nodejs_eventloop_active_seconds_total',
    'Time that the event loop had something to do.',
    () => performance.eventLoopUtilization().active / 1000,
  ],
  [
    'nodejs_eventloop_idle_seconds_total',
    'Time that the event loop waited for something to do.',
    () => performance.eventLoopUtilization().idle / 1000,
  ],
];

const GAUGES: readonly Metric[] = [
  ['process_start_time_seconds', 'When the process began, in seconds since 1970.', startSeconds],
  ['process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()],
  ['nodejs_heap_size_total_bytes', 'Heap that Node has taken.', () => process.memoryUsage().heapTotal],
  ['nodejs_heap_size_used_bytes', 'Heap that is in use.', () => process.memoryUsage().heapUsed],
  ['nodejs_external_memory_bytes', 'Memory beside the heap.', () => process.memoryUsage().external],
];

/** What the kernel tells under /proc, where there is one. */
const LINUX_GAUGES: readonly Metric[] = [
  // The look itself has one open.
  ['process_open_fds', 'Open descriptors.', () => readdirSync('/proc/self/fd').length - 1],
  ['process_max_fds', 'Descriptors that may be open.', maxDescriptors],
];

export function registerProcessMetrics(classes: MetricClasses, registry: PromClientModule.Registry): void {
  const registers = [registry];
  for (const [name, help, valueOf] of COUNTERS) {
    new classes.Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(valueOf());
      },
    });
  }
  for (const [name, help, valueOf] of [...GAUGES, ...(process.platform === 'linux' ? LINUX_GAUGES : [])]) {
    new classes.Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(valueOf());
      },
    });
  }
  const { version } = process;
  const [major = '', minor = '', patch = ''] = version.slice(1).split('.');
  const labels = { version, major, minor, patch };
  new classes.Gauge({
    name: 'nodejs_version_info',
    help: 'The version of Node.',
    labelNames: Object.keys(labels),
    registers,
  }).set(labels, 1);
}

function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** The same in every answer, whatever was done to the clock since. */
function startSeconds(): number {
  return performance.timeOrigin / 1000;
}

function maxDescriptors(): number {
  const [, soft] = /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  return soft === 'unlimited' ? Infinity : Number(soft);
}
