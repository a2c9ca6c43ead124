/** What HTTP costs at the least in this Node: reads bodies, discards them, and answers 201 with nothing. */
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  request.on('end', () => {
    response.statusCode = 201;
    response.end();
  });
  request.resume();
});
server.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
