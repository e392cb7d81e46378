import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { ContextualBandit, squareCB } from '@orth/bandits';
import { openBandit } from '@orth/bandits/node';

const create = () => new ContextualBandit(squareCB({ dim: 8 }), { interactions: true });
const { bandit } = openBandit(process.argv[2] ?? 'decisions.jsonl', create);

createServer(async (request, response) => {
  try {
    const body = await json(request);
    const { decisionId, reward } = body;
    const learn = request.url === '/learn';
    const answer = learn ? { status: bandit.learn(decisionId, reward) } : bandit.choose(body);
    response.end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(400).end(JSON.stringify({ error: error.message }));
  }
}).listen(process.env.PORT ?? 8080);
