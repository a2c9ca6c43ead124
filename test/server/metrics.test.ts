/** GET /metrics: what a scraper accepts, and numbers that match what was done. */
import { expect } from 'chai';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parsePrometheusText, type MetricFamily } from './prometheus-text.ts';
import { EventStream, Server } from './serving.ts';

/** What the kernel says that a process has used since it began. */
function processorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

describe('GET /metrics', () => {
  const { sandbox, server } = Server.forAll();

  async function scrape(): Promise<Map<string, MetricFamily>> {
    const { body, status, headers } = await server.get('/metrics');
    expect(status).to.equal(200);
    expect(headers['content-type']).to.match(/^text\/plain; version=0\.0\.4/);
    return parsePrometheusText(body.toString());
  }

  /** Sum of all samples of that name whose labels hold these. */
  function valueOf(
    families: Map<string, MetricFamily>,
    name: string,
    labels: Record<string, string> = {},
  ): number {
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
    if (family === undefined) throw new Error(`no ${name} among ${[...families.keys()].join(', ')}`);
    return family.samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      .reduce((sum, { value }) => sum + value, 0);
  }

  it('is text that a scraper reads, of an empty server, too', async () => {
    const families = await scrape();
    expect([...families.keys()]).to.include.members([
      'fastqueue_records_in_total',
      'fastqueue_bytes_in_total',
      'fastqueue_records_out_total',
      'fastqueue_bytes_out_total',
      'fastqueue_errors_total',
      'fastqueue_batch_records',
      'fastqueue_sync_duration_seconds',
      'fastqueue_request_duration_seconds',
      'fastqueue_start_offset',
      'fastqueue_end_offset',
      'fastqueue_segments',
      'fastqueue_store_bytes',
      'process_resident_memory_bytes',
      'process_start_time_seconds',
      'process_open_fds',
      'process_max_fds',
      'nodejs_heap_size_used_bytes',
      'nodejs_version_info',
    ]);
    for (const [name, { help }] of families) expect(help.length, name).to.be.greaterThan(5);
    for (const name of ['batch_records', 'sync_duration_seconds', 'request_duration_seconds'])
      expect(families.get(`fastqueue_${name}`)?.type, name).to.equal('histogram');
  });

  it('says of the process nothing that is false when it is first asked, or that another scraper resets', async () => {
    const [first, second] = [await scrape(), await scrape()];
    for (const families of [first, second]) {
      for (const { samples } of families.values())
        for (const { name, value } of samples) expect(value, name).to.be.within(0, 1e15);
      expect([...families.keys()].filter((name) => /lag|_gc_/.test(name))).to.deep.equal([]);
    }
    for (const name of ['nodejs_eventloop_active_seconds_total', 'nodejs_eventloop_idle_seconds_total'])
      expect(valueOf(second, name), name).to.be.at.least(valueOf(first, name)).and.greaterThan(0);
    expect(valueOf(first, 'process_open_fds')).to.be.closeTo(server.descriptorCount(), 3);
    const begunSeconds = valueOf(second, 'process_start_time_seconds');
    expect(begunSeconds).to.equal(valueOf(first, 'process_start_time_seconds'));
    expect(begunSeconds * 1000).to.be.within(Date.now() - 600_000, Date.now());
    expect(valueOf(first, 'nodejs_version_info', { version: process.version })).to.equal(1);
  });

  it('counts the time of the processor from the start of the process, whenever it is first asked', async () => {
    const before = processorSeconds(server.child.pid as number);
    const families = await scrape();
    const after = processorSeconds(server.child.pid as number);
    const total = valueOf(families, 'process_cpu_seconds_total');
    // The kernel tells it in hundredths.
    expect(total).to.be.within(before - 0.03, after + 0.03);
    const parts = ['process_cpu_user_seconds_total', 'process_cpu_system_seconds_total'];
    const sum = parts.reduce((seconds, name) => seconds + valueOf(families, name), 0);
    expect(sum).to.be.closeTo(total, 0.001);
  });

  it('counts records and payload bytes in, and the batches that they shared', async () => {
    await server.publish('in', 'x'.repeat(10));
    await server.publishLines('in', 'ab\ncd\nef\n');
    await server.publish('in', '', { 'FastQueue-Expected-Offset': '99' });
    await Promise.all(Array.from({ length: 50 }, () => server.publish('in', 'y')));
    const families = await scrape();
    const labels = { topic: 'in' };
    expect(valueOf(families, 'fastqueue_records_in_total', labels)).to.equal(54);
    expect(valueOf(families, 'fastqueue_bytes_in_total', labels)).to.equal(10 + 6 + 50);
    expect(valueOf(families, 'fastqueue_batch_records_sum', labels)).to.equal(54);
    const batches = valueOf(families, 'fastqueue_batch_records_count', labels);
    expect(batches, 'posts at once share a sync').to.be.within(3, 40);
    expect(valueOf(families, 'fastqueue_sync_duration_seconds_count', labels)).to.equal(batches);
    expect(valueOf(families, 'fastqueue_sync_duration_seconds_sum', labels)).to.be.within(0, 30);
  });

  it('counts every request as one batch of its own, whatever form and length its body has', async () => {
    const record = { payload: 'x'.repeat(90) };
    const document = (count: number): string =>
      JSON.stringify({ records: Array.from({ length: count }, () => record) });
    const bodies: [string, string, number][] = [
      ['application/x-ndjson', 'a\nb\nc', 3],
      ['application/x-ndjson', `${'x'.repeat(99)}\n`.repeat(5000), 5000],
      ['application/vnd.fastqueue.records+json', document(3), 3],
      ['application/vnd.fastqueue.records+json', document(2000), 2000],
    ];
    let [recordCount, batchCount] = [0, 0];
    for (const [type, body, count] of bodies) {
      expect((await server.publish('batch', body, { 'content-type': type })).json).to.include({ count });
      const families = await scrape();
      recordCount += count;
      batchCount += 1;
      for (const [name, value] of [
        ['fastqueue_batch_records_sum', recordCount],
        ['fastqueue_batch_records_count', batchCount],
        ['fastqueue_batch_requests_sum', batchCount],
        ['fastqueue_sync_duration_seconds_count', batchCount],
      ] as const)
        expect(valueOf(families, name, { topic: 'batch' }), `${name} of ${count} ${type}`).to.equal(value);
    }
  });

  it('has sizes and durations as histograms: cumulative buckets, the last of them infinite and equal to the count', async () => {
    for (const count of [1, 3, 500]) await server.publishLines('spread', 'x\n'.repeat(count));
    // Of every series there is, the reader of the text sees that no bucket falls and that the last is the count.
    const families = await scrape();
    const topic = { topic: 'spread' };
    const posts = { route: '/topics/{topic}/messages', method: 'POST', status: '201' };
    for (const [name, labels] of [
      ['fastqueue_batch_records', topic],
      ['fastqueue_batch_requests', topic],
      ['fastqueue_sync_duration_seconds', topic],
      ['fastqueue_request_duration_seconds', posts],
    ] as const) {
      expect(families.get(name)?.type, name).to.equal('histogram');
      const last = valueOf(families, `${name}_bucket`, { ...labels, le: '+Inf' });
      expect(last, name).to.be.at.least(3);
      expect(valueOf(families, `${name}_count`, labels), name).to.equal(last);
    }
    const sizes = ['1', '2', '4', '256', '1024', '+Inf'].map((le) =>
      valueOf(families, 'fastqueue_batch_records_bucket', { ...topic, le }),
    );
    expect(sizes).to.deep.equal([1, 1, 2, 2, 3, 3]);
  });

  it('counts what went out in every form, once', async () => {
    await server.publishLines('out', 'abc\nde\nf\n');
    const path = '/topics/out/messages';
    await server.get(path);
    await server.get(path, { accept: 'application/x-ndjson' });
    await server.get(`${path}?offset=1&limit=1`, { accept: 'application/octet-stream' });
    const { headers } = await server.get(`${path}?limit=2`);
    await server.get(`${path}?limit=2`, { 'if-none-match': headers.etag as string });
    await server.request('HEAD', path);
    await server.request('HEAD', `${path}?limit=1`, { headers: { accept: 'application/octet-stream' } });
    const stream = await EventStream.open(server, path);
    await stream.take(3);
    stream.close();
    const families = await scrape();
    const labels = { topic: 'out' };
    expect(valueOf(families, 'fastqueue_records_out_total', labels)).to.equal(3 + 3 + 1 + 2 + 3);
    expect(valueOf(families, 'fastqueue_bytes_out_total', labels)).to.equal(6 + 6 + 2 + 5 + 6);
  });

  it('counts nothing of a range that ends before its first record, by a time', async () => {
    await server.publishLines('timed', 'abc\nde\n');
    for (const accept of ['application/json', 'application/x-ndjson', 'text/event-stream']) {
      const path = '/topics/timed/messages?offset=1:@2000-01-01';
      expect((await server.get(path, { accept })).status).to.equal(200);
    }
    const families = await scrape();
    for (const name of ['fastqueue_records_out_total', 'fastqueue_bytes_out_total'])
      expect(valueOf(families, name, { topic: 'timed' }), name).to.equal(0);
  });

  it('says where topics begin and end, and what they take on the disk, whoever wrote them', async () => {
    const batches = Array.from({ length: 5 }, () => ['x'.repeat(900)]);
    await sandbox.store('disk', batches, { segmentBytes: 1024, retentionBytes: 2048 });
    const families = await scrape();
    const labels = { topic: 'disk' };
    const { json } = await server.get('/topics/disk/offsets');
    expect(json['startOffset']).to.be.greaterThan(0);
    expect(valueOf(families, 'fastqueue_start_offset', labels)).to.equal(json['startOffset']);
    expect(valueOf(families, 'fastqueue_end_offset', labels)).to.equal(5);
    expect(valueOf(families, 'fastqueue_segments', labels)).to.equal(json['segments']);
    const directory = join(sandbox.dataDirectory, 'disk');
    const stores = readdirSync(directory).filter((name) => name.endsWith('.store'));
    const bytes = stores.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
    expect(valueOf(families, 'fastqueue_store_bytes', labels)).to.equal(bytes);
  });

  it('says what is on the disk now, however soon it is asked again', async () => {
    const offsets: number[] = [];
    for (let count = 1; count <= 5; count++) {
      await server.publishLines('soon', 'x\n');
      offsets.push(valueOf(await scrape(), 'fastqueue_end_offset', { topic: 'soon' }));
    }
    expect(offsets).to.deep.equal([1, 2, 3, 4, 5]);
  });

  it('counts errors by code, and every request by route, method and status', async () => {
    const before = await scrape();
    const requestName = 'fastqueue_request_duration_seconds_count';
    const counted = { route: '/topics/{topic}/offsets', method: 'GET', status: '404' };
    const countsOf = (families: Map<string, MetricFamily>): number[] => [
      valueOf(families, 'fastqueue_errors_total', { code: 'topic_not_found' }),
      valueOf(families, 'fastqueue_errors_total', { code: 'no_such_resource' }),
      valueOf(families, 'fastqueue_errors_total', { code: 'malformed_request' }),
      valueOf(families, requestName, counted),
    ];
    for (let at = 0; at < 3; at++) await server.get(`/topics/none-${at}/offsets`);
    for (let at = 0; at < 4; at++) await server.get(`/nowhere/${at}`);
    for (let at = 0; at < 2; at++) await server.exchange('NONSENSE\r\n\r\n');
    const after = countsOf(await scrape());
    expect(after.map((value, at) => value - countsOf(before)[at]!)).to.deep.equal([3, 4, 2, 3]);
  });

  it('has no label that a client chooses: names of no topic, paths, methods', async () => {
    await server.get('/topics/injected"name/messages');
    await server.get('/injected-path');
    await server.request('PROPFIND', '/topics/injected-topic');
    const { body } = await server.get('/metrics');
    expect(body.toString()).to.not.include('injected');
  });

  it('drops the series of a topic that was deleted, and begins anew with another of its name', async () => {
    await server.publishLines('gone', 'a\nb\n');
    await server.request('DELETE', '/topics/gone');
    expect((await server.get('/metrics')).body.toString()).to.not.include('"gone"');
    await server.publish('gone', 'c');
    expect(valueOf(await scrape(), 'fastqueue_records_in_total', { topic: 'gone' })).to.equal(1);
  });
});
