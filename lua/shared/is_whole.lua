local function is_whole(text)
  return text and #text <= 16 and string.find(text, '^%d+$') ~= nil
end
