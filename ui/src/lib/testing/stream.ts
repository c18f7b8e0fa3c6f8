// A server of one stream, in the hands of a test.

export class FakeStreamServer {
  readonly connections: FakeConnection[] = [];
  /** What the next connections get; a stream if there is no entry. */
  readonly answers: (Response | Error)[] = [];

  readonly open = (_url: string, signal: AbortSignal): Promise<Response> => {
    const answer = this.answers.shift();
    const connection = new FakeConnection(signal);
    this.connections.push(connection);
    if (answer instanceof Error) return Promise.reject(answer);
    return Promise.resolve(answer ?? new Response(connection.body, { status: 200 }));
  };

  get last(): FakeConnection {
    const last = this.connections.at(-1);
    if (last === undefined) throw new Error('There is no connection.');
    return last;
  }
}

export class FakeConnection {
  readonly signal: AbortSignal;
  readonly body: ReadableStream<Uint8Array>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    this.body = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
        signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    });
  }

  send(event: string, data: unknown): void {
    this.sendText(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  sendText(text: string): void {
    this.#controller?.enqueue(new TextEncoder().encode(text));
  }

  end(): void {
    this.#controller?.close();
  }

  break(): void {
    this.#controller?.error(new TypeError('network error'));
  }
}
