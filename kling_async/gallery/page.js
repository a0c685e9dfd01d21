"use strict";
{
  const at = (id) => document.getElementById(id);

  // What there is, and what of it is shown

  const fold = (text) => text.toLocaleLowerCase();
  const all = Array.from(at("grid").children, (item) => {
    const of = JSON.parse(item.dataset.of);
    const words = [of.name, of.negative, of.trouble, ...of.facts.map(([, text]) => text)];
    const thumbnail = item.querySelector("img");
    return { item, of, thumbnail, tile: item.querySelector(".tile"), words: fold(words.join("\n")) };
  });
  const byItem = new Map(all.map((entry) => [entry.item, entry]));
  const kinds = new Set(all.map(({ of }) => of.kind));
  const nouns = { image: ["picture", "pictures"], video: ["video", "videos"], audio: ["sound", "sounds"] };
  const [one, many] = (kinds.size === 1 && nouns[[...kinds][0]]) || ["entry", "entries"];
  let shown = all;

  function offer(select, field) {
    const values = new Set(all.map(({ of }) => of[field]).filter(Boolean));
    select.hidden = values.size < 2; // one would choose nothing
    for (const value of [...values].sort()) select.add(new Option(field === "kind" ? named(value) : value, value));
  }

  const named = (kind) => nouns[kind][1].replace(/^./, (letter) => letter.toUpperCase());

  function filter() {
    const words = fold(at("text").value).split(/\s+/);
    const chosen = ["kind", "model", "state"].map((field) => [field, at(field).value]).filter(([, value]) => value);
    shown = all.filter(
      (entry) =>
        chosen.every(([field, value]) => entry.of[field] === value) && words.every((word) => entry.words.includes(word)),
    );
    const fitting = new Set(shown);
    for (const entry of all) entry.item.hidden = !fitting.has(entry);
    if (playing && !fitting.has(playing)) end(); // it would be heard
    const total = all.length.toLocaleString();
    const whole = `${total} ${all.length === 1 ? one : many}`;
    at("count").textContent = shown.length < all.length ? `${shown.length.toLocaleString()} of ${total}` : whole;
    at("nothing").hidden = shown.length > 0;
  }

  function clear() {
    for (const id of ["text", "kind", "model", "state"]) at(id).value = "";
    filter();
    at("text").focus();
  }

  // One of them, played in its tile

  const sound = { muted: false, volume: 1 }; // as it was last set in the viewer
  let playing = null; // the entry whose tile has the player, which may pause
  let player = null;

  function toggle(entry) {
    if (playing !== entry) begin(entry);
    else if (player.paused) start(player);
    else player.pause();
  }

  function begin(entry) {
    end();
    playing = entry;
    const media = makePlayer(entry, entry.tile.href);
    player = Object.assign(media, sound);
    const acts = { play: mark, pause: mark, timeupdate: markTime, loadedmetadata: noteLength, ended: end, error: fail };
    for (const [name, act] of Object.entries(acts)) {
      media.addEventListener(name, () => media === player && act(entry, media)); // events may come late
    }
    entry.item.classList.remove("failed");
    entry.item.classList.add("active");
    entry.tile.append(player);
    start(player);
    mark(entry);
  }

  function makePlayer({ of, tile }, address) {
    const made = document.createElement(of.kind);
    made.playsInline = true;
    made.tabIndex = -1;
    made.setAttribute("aria-hidden", "true"); // the tile is its button
    made.src = address;
    return made;
  }

  async function start(media) {
    try {
      await media.play();
    } catch (error) {
      if (error.name !== "NotAllowedError" || media.muted) return; // errors of the file have their own event
      media.muted = true; // this browser plays no sound yet
      media.play().catch(() => {});
    }
  }

  function end() {
    if (!playing) return;
    const entry = playing;
    player.remove(); // which pauses it
    playing = player = null;
    entry.item.classList.remove("active", "paused");
    entry.tile.style.removeProperty("--played");
    entry.tile.setAttribute("aria-pressed", "false");
    tellLength(entry);
  }

  function mark(entry) {
    entry.item.classList.toggle("paused", player.paused);
    entry.tile.setAttribute("aria-pressed", String(!player.paused));
  }

  function markTime(entry) {
    if (!player.duration) return;
    entry.tile.style.setProperty("--played", `${(100 * player.currentTime) / player.duration}%`);
    entry.tile.querySelector(".length").textContent = `${clock(player.currentTime)} / ${clock(player.duration, Math.round)}`;
  }

  function fail(entry) {
    end();
    entry.item.classList.add("failed");
    entry.tile.querySelector(".length").textContent = "Cannot be played: moved, or unknown to this browser";
    at("spoken").textContent = `Cannot be played: ${entry.of.name}`;
  }

  function noteLength(entry, media) {
    if (entry.of.length === null && Number.isFinite(media.duration)) entry.of.length = media.duration;
    if (playing !== entry) tellLength(entry);
  }

  function tellLength({ of, tile }) {
    tile.querySelector(".length").textContent = of.length === null ? "" : clock(of.length, Math.round);
  }

  function clock(seconds, whole = Math.floor) {
    const all = whole(seconds);
    const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
    const parts = hours ? [hours, String(minutes).padStart(2, "0")] : [minutes];
    return [...parts, String(all % 60).padStart(2, "0")].join(":");
  }

  document.addEventListener(
    "play",
    ({ target }) => {
      for (const other of document.querySelectorAll("video, audio")) if (other !== target) other.pause();
    },
    true, // such events do not bubble
  );

  // What is missing of a tile is read from its file while it is in view: the still of a video, a length

  const glimpses = new IntersectionObserver((changes) => changes.forEach(glimpse), { rootMargin: "200px" });

  function glimpse({ isIntersecting, target }) {
    const entry = byItem.get(target);
    entry.still?.remove(); // browsers limit how many players a page has
    entry.still = null;
    if (!isIntersecting) return;
    const isVideo = entry.of.kind === "video";
    const still = makePlayer(entry, isVideo ? `${entry.tile.href}#t=0.1` : entry.tile.href);
    still.preload = "metadata";
    still.muted = true;
    still.addEventListener("loadedmetadata", () => noteLength(entry, still));
    if (isVideo) entry.tile.prepend(still);
    entry.still = still;
  }

  for (const entry of all) {
    if (!entry.tile.classList.contains("media")) continue;
    entry.tile.setAttribute("role", "button");
    entry.tile.setAttribute("aria-pressed", "false");
    const lacks = entry.of.kind === "video" ? !entry.thumbnail : entry.of.length === null;
    if (lacks) glimpses.observe(entry.item);
  }

  // One of them, large

  const viewer = at("viewer");
  const stage = at("stage");
  const players = { image: at("picture"), video: at("video"), audio: at("audio") };
  const frames = { ...players, audio: at("sound") };
  const picture = players.image;
  let here = 0;
  let opened = null;

  function open(entry) {
    const left = playing === entry ? { at: player.currentTime, runs: !player.paused } : null;
    end();
    show(shown.indexOf(entry));
    viewer.showModal();
    if (left) {
      const large = players[entry.of.kind];
      large.currentTime = left.at; // it goes on from there
      if (left.runs) start(large);
    }
    at("next").focus(); // where keys and fingers go on from
  }

  function show(position) {
    if (!(position in shown)) return;
    here = position;
    opened = shown[here];
    const { of, tile } = opened;
    showFile(opened);
    at("position").textContent = `${(here + 1).toLocaleString()} of ${shown.length.toLocaleString()}`;
    say("name", of.name);
    say("trouble", of.trouble);
    say("negative", of.negative && `Without: ${of.negative}`);
    at("facts").replaceChildren(...of.facts.flatMap(([label, text]) => [element("dt", label), element("dd", text)]));
    at("file").hidden = !tile.href;
    at("file").href = tile.href ?? "";
    at("copy").hidden = !of.is_prompt || !navigator.clipboard;
    offerSteps();
    for (const near of [shown[here + 1], shown[here - 1]]) {
      if (near?.of.kind === "image" && near.tile.href) new Image().src = near.tile.href;
    }
  }

  function offerSteps() {
    const [previous, next] = [at("previous"), at("next")];
    const focused = document.activeElement;
    previous.disabled = here === 0;
    next.disabled = here === shown.length - 1;
    if (focused === previous && previous.disabled) next.focus(); // a disabled button would lose it
    if (focused === next && next.disabled) previous.focus();
  }

  function showFile({ tile, thumbnail, of }) {
    stop();
    for (const [kind, player] of Object.entries(players)) {
      frames[kind].hidden = of.kind !== kind;
      player.removeAttribute("src"); // some browsers would show the last one, in the shape of this one
    }
    stage.classList.toggle("empty", !of.kind);
    say("note", of.kind ? "" : "There is no file.");
    const [width, height] = of.size ?? [16, 9];
    stage.style.setProperty("--ratio", width / height);
    stage.style.setProperty("--width", `${of.size ? width : 960}px`);
    if (!of.kind) return;
    const player = players[of.kind];
    if (of.kind === "image") {
      picture.style.backgroundImage = `url("${thumbnail.src}")`; // until the large one is there
      picture.alt = of.name;
    } else {
      player.setAttribute("aria-label", of.name);
      Object.assign(player, sound);
      if (of.kind === "video") player.poster = thumbnail?.src ?? "";
      const wave = tile.querySelector(".wave")?.style.getPropertyValue("--wave");
      at("wave").hidden = !wave;
      at("wave").style.setProperty("--wave", wave ?? "none");
      at("wave").style.setProperty("--played", "0%");
    }
    player.src = tile.href ?? thumbnail?.src ?? "";
  }

  function stop() {
    for (const player of [players.video, players.audio]) player.pause();
  }

  function say(id, text) {
    at(id).textContent = text ?? "";
    at(id).hidden = !text;
  }

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  picture.addEventListener("load", () => picture.style.removeProperty("background-image"));
  picture.addEventListener("error", () => {
    const { thumbnail } = opened;
    if (!thumbnail || picture.src === thumbnail.src) return;
    picture.src = thumbnail.src;
    say("note", "The file is not where it was; this is its thumbnail.");
  });
  for (const player of [players.video, players.audio]) {
    player.addEventListener("error", () => {
      if (player.getAttribute("src")) say("note", "The file is not where it was, or this browser cannot play it.");
    });
    player.addEventListener("volumechange", () => {
      Object.assign(sound, { muted: player.muted, volume: player.volume });
    });
  }
  players.audio.addEventListener("timeupdate", ({ target }) => {
    at("wave").style.setProperty("--played", `${(100 * target.currentTime) / (target.duration || 1)}%`);
  });
  viewer.addEventListener("close", () => {
    stop();
    opened.tile.focus();
    opened.item.scrollIntoView({ block: "nearest" });
  });

  // Hands: pointer, keys, touch

  at("grid").addEventListener("click", (event) => {
    const part = event.target.closest(".tile, .caption, .more");
    const entry = byItem.get(part?.parentElement);
    if (!entry || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as with any link
    event.preventDefault();
    if (part.matches(".media")) toggle(entry);
    else open(entry);
  });
  at("grid").addEventListener("keydown", (event) => {
    if (!event.target.matches(".media") || !["Enter", " "].includes(event.key)) return;
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // a link does not know the space bar, and a key held down would start and stop
    if (!event.repeat) toggle(byItem.get(event.target.parentElement));
  });
  at("previous").addEventListener("click", () => show(here - 1));
  at("next").addEventListener("click", () => show(here + 1));
  at("close").addEventListener("click", () => viewer.close());
  stage.addEventListener("click", (event) => event.target === stage && viewer.close());
  at("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(opened.of.name);
      at("copy").textContent = "Copied";
      setTimeout(() => (at("copy").textContent = "Copy prompt"), 1500);
    } catch {
      getSelection().selectAllChildren(at("name")); // what the browser forbids to us, the reader may do
    }
  });

  const steps = { ArrowLeft: () => here - 1, ArrowRight: () => here + 1, Home: () => 0, End: () => shown.length - 1 };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target instanceof HTMLMediaElement) return; // its own keys
    if (viewer.open && event.key in steps) {
      event.preventDefault();
      show(steps[event.key]());
    } else if (!viewer.open && event.key === "Escape") {
      end();
    } else if (!viewer.open && event.key === "/" && event.target !== at("text")) {
      event.preventDefault();
      at("text").focus();
    }
  });

  let touch = null;
  stage.addEventListener("touchstart", ({ touches }) => (touch = touches.length === 1 ? touches[0] : null), {
    passive: true,
  });
  stage.addEventListener("touchend", ({ changedTouches: [end] }) => {
    if (!touch || visualViewport.scale > 1) return; // two fingers, or looking closely
    const [across, down] = [end.clientX - touch.clientX, end.clientY - touch.clientY];
    if (Math.abs(across) > 40 && Math.abs(across) > 2 * Math.abs(down)) show(here - Math.sign(across));
  });

  // Light and dark

  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const remembered = "kling-async-theme";

  function paint(theme) {
    if (theme) root.dataset.theme = theme;
    at("theme").setAttribute("aria-pressed", String(isDark()));
  }

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  at("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    paint(theme);
    try {
      localStorage.setItem(remembered, theme);
    } catch {
      // a browser that keeps nothing for files
    }
  });
  system.addEventListener("change", () => paint());
  try {
    paint(localStorage.getItem(remembered));
  } catch {
    paint();
  }

  for (const field of ["kind", "model", "state"]) offer(at(field), field);
  for (const id of ["text", "kind", "model", "state"]) at(id).addEventListener("input", filter);
  at("clear").addEventListener("click", clear);
  at("filters").hidden = false;
  filter();
}
